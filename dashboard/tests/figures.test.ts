import { expect, test } from "vitest";

import { ago, bytes, clock, count, duration } from "../src/steps/figures";

test("A duration is told in at most two units, as exactly as it is worth.", () => {
  expect([0, 340e3, 12.34e6, 4.561e9, 59.9e9, 192e9, 3_600e9, 90_061e9].map(duration)).toEqual([
    "0 µs", "340 µs", "12.3 ms", "4.56 s", "59.9 s", "3 m 12 s", "1 h", "1 d 1 h",
  ]);
  expect(duration(-2e6)).toBe("−2.00 ms");
});

test("What happened is told in one unit of the time that has passed.", () => {
  const now = 1_000_000_000;
  expect([0, 1_999, 8_000, 3_700_000].map((passed) => ago((now - passed) * 1e6, now))).toEqual([
    "now", "now", "8 s ago", "1 h ago",
  ]);
});

test("Counts keep their digits until they would be long.", () => {
  expect([0, 12_345, 99_999, 123_456, 1_240_000].map(count)).toEqual(["0", "12,345", "99,999", "123 k", "1.24 M"]);
  expect([999, 1_500, 2_000_000].map(bytes)).toEqual(["999 B", "1.50 kB", "2.00 MB"]);
});

test("A clock shows milliseconds.", () => {
  expect(clock(new Date(2026, 10, 22, 7, 5, 3, 42).getTime() * 1e6)).toBe("07:05:03.042");
});
