import { expect, test } from "vitest";

import type { Delta, Step } from "../src/api/schema";
import { pairOf, statusOf } from "../src/views/episode/details/pair";
import { Drafts } from "../src/views/episode/drafts";
import { Surroundings } from "../src/views/episode/transcript/surroundings";

interface Told {
  id: string;
  kind?: string;
  parent?: string;
  closes?: string;
  role?: string;
}

function step({ id, kind = "thought", parent, closes, role = "engineer" }: Told, sequence = 0): Step {
  return {
    id, kind, sequence, episode_id: "e", cursor: sequence + 1, occurred_at: sequence * 1e9, recorded_at: 0, agent: role, role,
    parent_id: parent ?? null, closes: closes ?? null, schema_version: 1, after_end: false, payload: {},
    origin: { recorder_id: "r", pid: 1, host: "h" },
  };
}

function log(...told: (Told | undefined)[]): { length: number; step(place: number): Step | undefined } {
  const steps = told.map((each, at) => (each === undefined ? undefined : step(each, at)));
  return { length: steps.length, step: (place) => steps[place] };
}

const call = { id: "call", kind: "tool_call" };
const answer = { id: "answer", kind: "observation", closes: "call", parent: "call" };

test("A call is known by what closed it.", () => {
  const rows = log(call, { id: "thought" }, answer);
  expect(new Surroundings(rows).closerOf(step(call), 0)?.id).toBe("answer");
});

test("A call that nothing closed up to the end of the log is open.", () => {
  expect(new Surroundings(log(call, { id: "thought" })).closerOf(step(call), 0)).toBeNull();
});

test("Where steps are not here yet, nothing is said of a call.", () => {
  expect(new Surroundings(log(call, undefined, answer)).closerOf(step(call), 0)).toBeUndefined();
});

test("What came later closes a call that was open before.", () => {
  const rows = { length: 1, step: (place: number) => [step(call, 0), step(answer, 1)][place] };
  const surroundings = new Surroundings(rows);
  expect(surroundings.closerOf(step(call), 0)).toBeNull();
  rows.length = 2;
  expect(surroundings.closerOf(step(call), 0)?.id).toBe("answer");
});

test("A step is as deep as what it is nested under.", () => {
  const rows = log(call, { id: "inner", kind: "tool_call", parent: "call" }, { id: "deep", parent: "inner" });
  const surroundings = new Surroundings(rows);
  expect([0, 1, 2].map((place) => surroundings.depthOf(rows.step(place) ?? step(call), place))).toEqual([0, 1, 2]);
});

test("An answer right behind its call needs no head.", () => {
  const rows = log(call, answer);
  expect(new Surroundings(rows).isAnswerTo(step(answer, 1), 1)).toBe(true);
});

test("Another role begins a turn, but not where roles change with every step.", () => {
  const rows = log({ id: "a" }, { id: "b" }, { id: "c", role: "reviewer" }, { id: "d" });
  const surroundings = new Surroundings(rows);
  const at = (place: number) => surroundings.speakerOf(rows.step(place) ?? step(call), place);
  expect(at(1)).toBeNull();
  expect(at(2)).toEqual({ name: "reviewer", isTurn: true });
  expect(at(3)).toEqual({ name: "engineer", isTurn: false });
});

test("A pair is the same, whichever half was chosen.", () => {
  const [opener, closer] = [step(call, 0), step(answer, 2)];
  const first = pairOf({ step: opener, opener: null, closer }, false);
  const second = pairOf({ step: closer, opener, closer: null }, false);
  expect(first).toMatchObject({ opener, closer, partner: closer, status: "ok", took: 2e9 });
  expect(second).toMatchObject({ opener, closer, partner: opener, status: "ok", took: 2e9 });
});

test("What nothing closed was cut off when its episode is over.", () => {
  expect(statusOf(null, true)).toBe("running");
  expect(statusOf(null, false)).toBe("cut_off");
});

test("What is being made is shown part by part, and gone with its answer.", () => {
  const drafts = new Drafts();
  const delta = (text: string, part: Delta["part"]): Delta => ({ step_id: "call", episode_id: "e", text, part });
  drafts.add([delta("let me ", "reasoning"), delta("see", "reasoning"), delta("Yes", "content")]);
  expect(drafts.of("call")).toEqual([{ part: "reasoning", text: "let me see" }, { part: "content", text: "Yes" }]);
  drafts.take([step(answer)]);
  expect(drafts.of("call")).toEqual([]);
});
