/** The vitals of recording: from the agents' spool into the database. */

import type { CommitterReport, SpoolReport, SystemReport } from "../../api/schema";
import { bytes, count, duration } from "../../steps/figures";
import { type Vital, vital } from "./vital";

const COMMITTING = "committing";
const OPENING = "opening";
/** From this share of its bound on the spool is told to be filling. */
const FILLING = 0.5;
const FULL = 0.9;

/** See above. */
export function recordingVitals(report: SystemReport): Vital[] {
  return [
    committerVital(report.committer),
    spoolVital(report.spool),
    recordersVital(report),
    lossesVital(report.losses),
    refusedVital(report.refused),
  ];
}

function committerVital(report: CommitterReport | null): Vital {
  const meaning = "The one process that writes the database: it takes what agents logged out of the spool.";
  if (report === null) {
    return vital({
      name: "Committer", standing: "quiet", figure: "none yet", meaning,
      advice: "It begins with the first step that is logged beside this database.",
    });
  }
  const { state, is_alive: isAlive, heartbeat_age_ns: age } = report;
  const isWorking = isAlive && state === COMMITTING;
  return vital({
    name: "Committer",
    standing: isWorking ? "well" : isAlive && state === OPENING ? "warn" : "bad",
    figure: isAlive ? state : "silent",
    meaning,
    details: [
      ["heartbeat", age === null ? "before the machine's last start" : `${duration(age)} ago`],
      ["cursor", count(report.cursor)],
      ["term of office", String(report.generation)],
      ["process", String(report.pid)],
      ["release", report.release],
    ],
    advice: isWorking ? null : committerAdvice(report),
  });
}

function committerAdvice({ state, is_alive: isAlive, pid }: CommitterReport): string {
  if (!isAlive) {
    return `Process ${pid} was not heard of. What is logged waits in the spool and is not lost; the next process that logs takes over. \`stepstream doctor\` says why, if none does.`;
  }
  if (state === OPENING) return "It opens the database. If that lasts, `stepstream doctor` says what it waits for.";
  return "What is logged waits in the spool and is not lost. `stepstream doctor` names what mends it.";
}

function spoolVital(report: SpoolReport | null): Vital {
  const meaning = "What agents on this machine logged and the database does not hold yet. It survives a kill.";
  if (report === null) return vital({ name: "Spool", standing: "quiet", figure: "none", meaning });
  const part = report.held_bytes / Math.max(1, report.bytes_max);
  return vital({
    name: "Spool",
    standing: part >= FULL ? "bad" : part >= FILLING ? "warn" : "well",
    figure: `${bytes(report.waiting_bytes)} waiting`,
    meaning,
    details: [
      ["held", `${bytes(report.held_bytes)} of ${bytes(report.bytes_max)}`],
      ["segments", count(report.segments_count)],
    ],
    share: { part, bound: null, words: `${bytes(report.held_bytes)} of ${bytes(report.bytes_max)} held` },
    advice: part < FILLING ? null : "At its bound new steps are refused. It empties once somebody commits: see the committer, and the room on the disk.",
  });
}

function recordersVital({ recorders_running: running }: SystemReport): Vital {
  return vital({
    name: "Recorders",
    standing: running > 0 ? "well" : "quiet",
    figure: running > 0 ? `${count(running)} running` : "none running",
    meaning: "Processes that have logged and not ended.",
  });
}

function lossesVital(losses: number): Vital {
  return vital({
    name: "Losses",
    standing: losses > 0 ? "bad" : "well",
    figure: count(losses),
    meaning: "Steps of the kind loss: each says which steps of a process are known to be missing, and why.",
    advice: losses > 0 ? "Each stands in its episode with its reason: filter episodes with `kind:loss`. `stepstream verify` counts them." : null,
  });
}

function refusedVital(refused: number): Vital {
  return vital({
    name: "Refused",
    standing: refused > 0 ? "bad" : "well",
    figure: count(refused),
    meaning: "Steps that were not taken, because there was no room on the disk or in the spool.",
    advice: refused > 0 ? "Make room on the disk, and see that somebody commits. The agents went on; a loss step in their episodes says which numbers are missing." : null,
  });
}
