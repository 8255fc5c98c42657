import { expect, test } from "vitest";

import type { OutlineNode } from "../src/api/schema";
import { phaseOf, phasesOf } from "../src/views/episode/outline/phases";
import { roleClause } from "../src/views/episode/outline/role_clause";
import { knotsOfNodes, Moments } from "../src/views/episode/playhead_moments";

function node(sequence: number, role: string | null, more: Partial<OutlineNode> = {}): OutlineNode {
  return {
    sequence, step_id: `s${sequence}`, under: null, closing_sequence: null, kind: "thought", label: `l${sequence}`, agent: null, role,
    status: null, started_at: sequence * 10, ended_at: null, ...more,
  };
}

test("A phase is a run of the same role, with its steps, errors and time.", () => {
  const phases = phasesOf([
    node(0, "planner", { kind: "status_change", label: "running" }),
    node(1, "planner"),
    node(2, "engineer", { kind: "tool_call", status: "error", closing_sequence: 3, ended_at: 39 }),
    node(4, null),
    node(5, "planner"),
  ]);
  expect(phases.map(({ name, first, label, steps, errors }) => [name, first, label, steps, errors])).toEqual([
    ["planner", 0, "l1", 2, 0],
    ["engineer", 2, "l2", 3, 1],
    ["planner", 5, "l5", 1, 0],
  ]);
  expect(phases[1]?.to).toBe(40);
  expect([0, 1, 3, 4, 99].map((sequence) => phaseOf(phases, sequence))).toEqual([0, 0, 1, 1, 2]);
});

test("An agent that stands for a role is filtered by its own name.", () => {
  expect(roleClause({ name: "planner", agents: ["lead", "planner"] })).toBe("role:planner");
  expect(roleClause({ name: "lone one", agents: ["lone one"] })).toBe('agent:"lone one"');
});

test("A replay finds the last step that was logged by a moment, and the moment of a step.", () => {
  const moments = new Moments(knotsOfNodes([node(0, "a"), node(1, "a", { closing_sequence: 3, ended_at: 100 }), node(2, "a")], 0));
  expect([0, 9, 10, 20, 99, 100, 500].map((at) => moments.sequenceAt(at))).toEqual([0, 0, 1, 2, 2, 3, 3]);
  expect(moments.momentOf(3)).toBe(100);
  expect([moments.end, moments.last]).toEqual([100, 3]);
});

test("Between steps that are far apart the others are taken to be evenly spread.", () => {
  const moments = new Moments([{ sequence: 0, at: 0 }, { sequence: 100, at: 1_000 }]);
  expect(moments.sequenceAt(500)).toBe(50);
  expect(moments.momentOf(50)).toBe(500);
});

test("A clock that goes back does not turn a replay round.", () => {
  const moments = new Moments([{ sequence: 0, at: 0 }, { sequence: 1, at: 50 }, { sequence: 2, at: 30 }, { sequence: 3, at: 80 }]);
  expect(moments.momentOf(2)).toBe(50);
  expect(moments.sequenceAt(60)).toBe(2);
});
