import { expect, test } from "vitest";

import type { SystemReport } from "../src/api/schema";
import { recordingVitals } from "../src/views/system/recording";
import { storageVitals } from "../src/views/system/storage";
import { unwell, type Vital } from "../src/views/system/vital";
import { watchingVitals } from "../src/views/system/watching";

const WELL: SystemReport = {
  release: "1.0.0",
  sqlite: "3.54.1",
  committer: { pid: 7, state: "committing", is_alive: true, generation: 2, cursor: 90, heartbeat_age_ns: 5e7, release: "1.0.0" },
  spool: { waiting_bytes: 0, held_bytes: 0, bytes_max: 1e9, segments_count: 0, segments: [] },
  stream: {
    clients: 1, channels: 1, clients_total: 3, clients_cut: 0, clients_refused: 0, steps_sent: 9, steps_unreadable: 0,
    deltas_dropped: 0, ring_steps: 9, ring_bytes: 900, cursor: 90, lag_ns: 1e6, trouble: null,
  },
  search: { state: "current", indexed_to: 90, last_cursor: 90, problem: null },
  recorders_running: 1,
  losses: 0,
  refused: 0,
  database_bytes: 1e6,
  log_bytes: 1e5,
  disk_free_bytes: 5e10,
  disk_free_percent: 50,
  disk_free_bytes_min: 2.5e8,
  schema_version: 1,
  schema_version_newest: 1,
  migrations: [],
};

const ill = (changes: Partial<SystemReport>): [string, string][] => unwell(vitals({ ...WELL, ...changes })).map(({ name, standing }) => [name, standing]);

function vitals(report: SystemReport): Vital[] {
  return [...recordingVitals(report), ...storageVitals(report, undefined), ...watchingVitals(report)];
}

test("A system that does its work has nothing to look at.", () => {
  expect(ill({})).toEqual([]);
});

test("A committer that is silent is not well, and what to do is said.", () => {
  const silent = { ...WELL, committer: { ...(WELL.committer as NonNullable<SystemReport["committer"]>), is_alive: false } };
  const [committer] = unwell(vitals(silent));
  expect(committer?.standing).toBe("bad");
  expect(committer?.advice).toContain("stepstream doctor");
});

test("A history in which nobody ever logged is not called ill.", () => {
  expect(ill({ committer: null, spool: null, search: null, recorders_running: 0 })).toEqual([]);
});

test("A loss and a refused step are bad from the first one on.", () => {
  expect(ill({ losses: 1, refused: 1 })).toEqual([["Losses", "bad"], ["Refused", "bad"]]);
});

test("Little room is told before it is too little, and then called bad.", () => {
  expect(ill({ disk_free_bytes: 6e8, disk_free_percent: 1 })).toEqual([["Room on the disk", "warn"]]);
  expect(ill({ disk_free_bytes: 1e8, disk_free_percent: 0.2 })).toEqual([["Room on the disk", "bad"]]);
});

test("A spool that fills is told before it refuses.", () => {
  const spool = { waiting_bytes: 6e8, held_bytes: 6e8, bytes_max: 1e9, segments_count: 70, segments: [] };
  expect(ill({ spool })).toEqual([["Spool", "warn"]]);
  expect(ill({ spool: { ...spool, held_bytes: 9.5e8 } })).toEqual([["Spool", "bad"]]);
});

test("The worst stands first.", () => {
  expect(ill({ log_bytes: 1e8, losses: 2, schema_version_newest: 2 })).toEqual([
    ["Losses", "bad"], ["Write-ahead log", "warn"], ["Tables", "warn"],
  ]);
});

test("Tables of a newer release are bad, those of an older one only to be looked at.", () => {
  expect(ill({ schema_version: 3 })).toEqual([["Tables", "bad"]]);
});

test("What keeps the stream from telling everything is said in its own words.", () => {
  const stream = { ...(WELL.stream as NonNullable<SystemReport["stream"]>), trouble: "the database is busy" };
  expect(unwell(vitals({ ...WELL, stream })).map(({ advice }) => advice)).toEqual(["the database is busy"]);
});
