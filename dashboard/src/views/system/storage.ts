/** The vitals of storage: the database, its log, its tables, the room beside it, and the index behind it. */

import type { HistoryInfo, SystemReport } from "../../api/schema";
import { bytes, count } from "../../steps/figures";
import { type Vital, vital } from "./vital";

/** Beyond it somebody reads for a long time; the same alarm as of `stepstream doctor`. */
const LOG_BYTES_ALARM = 64 * 1024 * 1024;
/** So many times the floor is when a person is told. */
const ROOM_WARNING = 4;

/** See above. */
export function storageVitals(report: SystemReport, info: HistoryInfo | undefined): Vital[] {
  return [databaseVital(report, info), logVital(report.log_bytes), roomVital(report), tablesVital(report), indexVital(report.search)];
}

function databaseVital({ database_bytes: size, sqlite }: SystemReport, info: HistoryInfo | undefined): Vital {
  return vital({
    name: "Database",
    standing: size > 0 ? "well" : "quiet",
    figure: bytes(size),
    meaning: "The one file that lasts: every step, as it was logged.",
    details: info === undefined ? [["SQLite", sqlite]] : [
      ["file", info.path],
      ["episodes", count(info.episodes)],
      ["steps", count(info.steps)],
      ["last cursor", count(info.last_cursor)],
      ["pruned to", info.pruned_to === 0 ? "nothing pruned" : count(info.pruned_to)],
      ["secrets taken out", count(info.redactions.reduce((sum, each) => sum + each.count, 0))],
      ["SQLite", sqlite],
    ],
  });
}

function logVital(size: number): Vital {
  const isLong = size > LOG_BYTES_ALARM;
  return vital({
    name: "Write-ahead log",
    standing: isLong ? "warn" : "well",
    figure: bytes(size),
    meaning: "What was committed and is not in the file itself yet. It shrinks when nobody reads for long.",
    advice: isLong ? "Somebody reads for a long time: end long queries and copies." : null,
  });
}

function roomVital(report: SystemReport): Vital {
  const { disk_free_bytes: free, disk_free_percent: percent, disk_free_bytes_min: floor } = report;
  const whole = percent > 0 ? free / (percent / 100) : Math.max(free, 1);
  const isShort = free < ROOM_WARNING * floor;
  return vital({
    name: "Room on the disk",
    standing: free < floor ? "bad" : isShort ? "warn" : "well",
    figure: `${bytes(free)} free`,
    meaning: `Below ${bytes(floor)} new steps are refused, so that agents keep the last of it.`,
    details: [["share of the disk", `${percent.toFixed(1)} %`]],
    share: { part: 1 - free / whole, bound: 1 - floor / whole, words: `${bytes(whole - free)} of ${bytes(whole)} used` },
    advice: isShort ? "Make room. Recording goes on by itself once there is some; nothing that was logged is lost." : null,
  });
}

function tablesVital({ schema_version: here, schema_version_newest: newest }: SystemReport): Vital {
  return vital({
    name: "Tables",
    standing: here === newest ? "well" : here < newest ? "warn" : "bad",
    figure: `version ${here}`,
    meaning: "How the database is laid out; each change of it is listed below.",
    details: [["this release writes", `version ${newest}`]],
    advice: here === newest ? null : here < newest ? "`stepstream migrate` brings it to this release, after a snapshot." : "A newer stepstream has written it: it can be read, not recorded into. `pip install --upgrade stepstream` helps.",
  });
}

const INDEX_ADVICE = {
  no_room: "There is no room for it. Searches still find everything, only slowly; it goes on once there is room.",
  failed: "Searches still find everything, only slowly. The log of the server says what failed.",
} as const;

function indexVital(progress: SystemReport["search"]): Vital {
  const meaning = "Which words stand in which step. Newer steps than it reaches are read one by one, and found too.";
  if (progress === null) {
    return vital({ name: "Search index", standing: "quiet", figure: "not kept here", meaning });
  }
  const { state, indexed_to: reached, last_cursor: last, problem } = progress;
  const isBad = state === "no_room" || state === "failed";
  return vital({
    name: "Search index",
    standing: isBad ? "bad" : state === "waiting" ? "quiet" : "well",
    figure: state.replace("_", " "),
    meaning,
    details: [["reaches", `${count(reached)} of ${count(last)}`], ...(problem === null ? [] : [["problem", problem] as [string, string]])],
    share: state === "current" || last === 0 ? null : { part: reached / last, bound: null, words: `${count(reached)} of ${count(last)} steps indexed` },
    advice: isBad ? INDEX_ADVICE[state] : null,
  });
}
