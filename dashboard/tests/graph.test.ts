import { expect, test } from "vitest";

import type { RoleEdge, RoleNode } from "../src/api/schema";
import { layoutOf } from "../src/views/episode/graph/layout";

const role = (name: string): RoleNode => ({ name, agents: [name], steps: 1, errors: 0, tool_calls: 0 });
const edge = (source: string, target: string, kind: RoleEdge["kind"] = "change", count = 1): RoleEdge => ({ source, target, kind, count });

test("Roles stand in columns behind those they have their work from.", () => {
  const { roles } = layoutOf(["a", "b", "c"].map(role), [edge("a", "b"), edge("b", "c"), edge("a", "c"), edge("c", "a")]);
  const [a, b, c] = roles.map(({ x }) => x);
  expect(a).toBeLessThan(b ?? 0);
  expect(b).toBeLessThan(c ?? 0);
});

test("Handoffs and changes between the same two roles are one way, and what goes back is told.", () => {
  const { ways } = layoutOf(["a", "b"].map(role), [edge("a", "b", "handoff", 2), edge("a", "b", "change", 3), edge("b", "a")]);
  expect(ways.map(({ source, handoffs, changes, isBack }) => [source, handoffs, changes, isBack])).toEqual([["a", 2, 3, false], ["b", 0, 1, true]]);
});

test("Roles of one column stand under each other, and everything is on the sheet.", () => {
  const { roles, width, height } = layoutOf(["a", "b", "c"].map(role), [edge("a", "b"), edge("a", "c"), edge("c", "c")]);
  const [, b, c] = roles;
  expect(b?.x).toBe(c?.x);
  expect(c?.y).toBeGreaterThan(b?.y ?? 0);
  for (const { x, y } of roles) {
    expect(x).toBeLessThan(width);
    expect(y).toBeLessThan(height);
  }
});
