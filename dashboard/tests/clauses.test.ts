import { expect, test } from "vitest";

import { clauseOf, clausesOf, toggled } from "../src/views/episodes/clauses";

test("A value that is no plain word is quoted.", () => {
  expect(clauseOf("tag", "demo")).toBe("tag:demo");
  expect(clauseOf("role", 'the "boss" \\ of all')).toBe('role:"the \\"boss\\" \\\\ of all"');
});

test("A clause is added behind the others, and taken away where it stands.", () => {
  expect(toggled("errors>0", "tag:demo")).toBe("errors>0 tag:demo");
  expect(toggled('name:"a b" tag:demo errors>0', "tag:demo")).toBe('name:"a b" errors>0');
});

test("Quotes, expressions and parentheses are not torn apart.", () => {
  const clauses = ['text~/a b/i', "(kind:error OR kind:loss)", '-name:"x (y"', "dur>5s"];
  expect(clausesOf(clauses.join(" "))).toEqual(clauses);
});
