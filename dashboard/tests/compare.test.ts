import { expect, test } from "vitest";

import type { AlignedBlock, EpisodeComparison, BlockRelation } from "../src/api/schema";
import { differing } from "../src/views/compare/differing";
import { comparisonAddress, markedIn, toggledMark } from "../src/views/compare/marked";
import { differenceOf, firstDifference, nextDifference, stepsOf } from "../src/views/compare/rows";

const blocks = (...relations: BlockRelation[]): AlignedBlock[] =>
  relations.map((relation) => ({ relation, entries: 1, a_first: 0, a_last: 0, b_first: 0, b_last: 0, difference: null }));

test("Two values differ in what stands between their common beginning and end.", () => {
  expect(differing("/tmp/a1/x.stl", "/tmp/b2/x.stl")).toEqual({ before: "/tmp/", a: "a1", b: "b2", after: "/x.stl" });
  expect(differing("aa", "aaa")).toEqual({ before: "aa", a: "", b: "a", after: "" });
});

test("No character is cut in two.", () => {
  expect(differing("🙂", "🙃")).toEqual({ before: "", a: "🙂", b: "🙃", after: "" });
});

test("The first difference is the first block that is not the same.", () => {
  const comparison = { first_divergence: { a_sequence: 4, b_sequence: 4 }, blocks: blocks("same", "changed", "only_b") };
  expect(firstDifference(comparison as EpisodeComparison)).toBe(1);
  expect(firstDifference({ ...comparison, first_divergence: null } as EpisodeComparison)).toBeNull();
});

test("From difference to difference what is the same is passed over, and the ends hold.", () => {
  const all = blocks("same", "changed", "same", "only_a");
  expect(nextDifference(all, -1, 1)).toBe(1);
  expect(nextDifference(all, 1, 1)).toBe(3);
  expect(nextDifference(all, 3, 1)).toBe(3);
  expect(nextDifference(all, 3, -1)).toBe(1);
});

test("Steps and differences are told in words.", () => {
  expect([stepsOf(null, null), stepsOf(3, 3), stepsOf(3, 9)]).toEqual([null, "step 3", "steps 3 to 9"]);
  expect([differenceOf(1, 1, String), differenceOf(1, 4, String), differenceOf(4, 1, String)]).toEqual([null, "+3", "−3"]);
});

test("At most two episodes are marked; a third takes the place of the second.", () => {
  expect(toggledMark(["a", "b"], "c")).toEqual(["a", "c"]);
  expect(toggledMark(["a", "b"], "a")).toEqual(["b"]);
  expect(markedIn(new URLSearchParams("compare=a,b,c,a"))).toEqual(["a", "b"]);
});

test("Two marks make a comparison, one makes none.", () => {
  expect(comparisonAddress(["a"])).toBeNull();
  expect(comparisonAddress(["a", "b"])).toBe("/compare?a=a&b=b");
});
