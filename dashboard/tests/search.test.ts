import { expect, test } from "vitest";

import { piecesOf } from "../src/views/search/pieces";

test("Highlights count code points, so that a mark stands behind an emoji where it belongs.", () => {
  const pieces = piecesOf({ text: "🙂 a bolt", highlights: [{ start: 4, end: 8 }] });
  expect(pieces).toEqual([{ text: "🙂 a ", isMarked: false }, { text: "bolt", isMarked: true }]);
});

test("A snippet without highlights is one piece, and an empty one none.", () => {
  expect(piecesOf({ text: "plain", highlights: [] })).toEqual([{ text: "plain", isMarked: false }]);
  expect(piecesOf({ text: "", highlights: [] })).toEqual([]);
});

test("Highlights beside each other stay apart, and what is beyond the end marks nothing.", () => {
  const pieces = piecesOf({ text: "ab", highlights: [{ start: 0, end: 1 }, { start: 1, end: 2 }, { start: 5, end: 9 }] });
  expect(pieces).toEqual([{ text: "a", isMarked: true }, { text: "b", isMarked: true }]);
});
