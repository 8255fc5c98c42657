/** The vitals of watching: the live stream, and which stepstream serves it. */

import type { StreamReport, SystemReport } from "../../api/schema";
import { bytes, count, duration } from "../../steps/figures";
import { type Vital, vital } from "./vital";

/** Whoever watches notices from here on. */
const LAG_NS_MAX = 1e9;

/** See above. */
export function watchingVitals(report: SystemReport): Vital[] {
  return [...streamVitals(report.stream), releaseVital(report)];
}

function streamVitals(stream: StreamReport | null): Vital[] {
  if (stream === null) {
    return [vital({ name: "Live stream", standing: "quiet", figure: "none here", meaning: "This server tells nobody of new steps." })];
  }
  return [tellingVital(stream), cutVital(stream)];
}

function tellingVital(stream: StreamReport): Vital {
  const { clients, trouble, steps_unreadable: unreadable, lag_ns: lag } = stream;
  const isBad = trouble !== null || unreadable > 0;
  return vital({
    name: "Live stream",
    standing: isBad ? "bad" : lag > LAG_NS_MAX ? "warn" : "well",
    figure: `${count(clients)} ${clients === 1 ? "client" : "clients"}`,
    meaning: "Who is told of each step as it is committed: pages, terminals, programs.",
    details: [
      ["commit to told", stream.cursor === null ? "nobody listens" : duration(lag)],
      ["different questions", count(stream.channels)],
      ["ring", `${count(stream.ring_steps)} steps, ${bytes(stream.ring_bytes)}`],
      ["told since the start", `${count(stream.steps_sent)} steps`],
      ["unreadable", `${count(unreadable)} steps`],
      ["deltas passed over", count(stream.deltas_dropped)],
    ],
    advice: trouble ?? (unreadable > 0 ? "Some steps could not be read and were left out of the stream. `stepstream verify --deep` says which." : isLate(lag)),
  });
}

function isLate(lag: number): string | null {
  return lag > LAG_NS_MAX ? "New steps are told late: the machine is busy, or the disk slow." : null;
}

function cutVital({ clients_cut: cut, clients_refused: refused, clients_total: total }: StreamReport): Vital {
  return vital({
    name: "Clients cut off",
    standing: cut + refused > 0 ? "warn" : "well",
    figure: count(cut),
    meaning: "A client that does not keep up is cut, so that it holds nobody up; it comes back where it left off.",
    details: [["refused", count(refused)], ["ever connected", count(total)]],
    advice: cut + refused > 0 ? "Nothing was lost to them: each goes on by its cursor. Many of them mean a slow network, or too many pages." : null,
  });
}

function releaseVital({ release, committer }: SystemReport): Vital {
  const differs = committer !== null && committer.release !== release;
  return vital({
    name: "Release",
    standing: differs ? "warn" : "well",
    figure: release,
    meaning: "The stepstream that serves this page.",
    details: committer === null ? [] : [["of the committer", committer.release]],
    advice: differs ? "The committer is of another release. It ends by itself when nobody logs; a restart of this server takes over." : null,
  });
}
