import { expect, test } from "vitest";

import { aroundAnchor, barOf, restOf } from "../src/parts/anchor";

const spread = 100_000;

test("The scroll bar stands at its start exactly when the first entry is on top.", () => {
  const place = { first: 0, last: 20, length: 1_000, top: 0, height: 2_000, view: 800 };
  expect(restOf(place, spread)).toBe(0);
  expect(restOf({ ...place, top: -300 }, spread)).toBe(300);
});

test("The scroll bar stands at its end exactly when the last entry is at the bottom.", () => {
  const place = { first: 980, last: 1_000, length: 1_000, top: -1_200, height: 2_000, view: 800 };
  expect(restOf(place, spread)).toBe(spread - 800);
  expect(restOf({ ...place, top: -1_000 }, spread)).toBe(spread - 800 - 200);
});

test("Between its ends the scroll bar keeps room on both sides, whatever was guessed.", () => {
  const place = { first: 5, last: 25, length: 1_000, top: -100, height: 2_000, view: 800 };
  expect(restOf(place, spread)).toBe(800);
  expect(restOf({ ...place, first: 979, last: 999, top: -1_150 }, spread)).toBe(spread - 1_600);
});

test("A list that fits the view is not scrolled.", () => {
  expect(restOf({ first: 0, last: 3, length: 3, top: 0, height: 200, view: 800 }, 200)).toBe(0);
});

test("What is scrolled through is never higher than a browser can bear.", () => {
  expect(barOf(1_000_000, 90)).toBe(12_000_000);
  expect(barOf(100, 90)).toBe(9_000);
});

test("Around an anchor entries are drawn before and behind it, and none that are not there.", () => {
  expect(aroundAnchor({ index: 0, edge: "top", offset: 0 }, 800, 100, 1_000)).toEqual({ first: 0, last: 13 });
  expect(aroundAnchor({ index: 999, edge: "bottom", offset: 0 }, 800, 100, 1_000)).toEqual({ first: 987, last: 1_000 });
});
