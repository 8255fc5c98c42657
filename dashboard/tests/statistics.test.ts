import { expect, test } from "vitest";

import type { HistoryStatistics } from "../src/api/schema";
import { columnsOf } from "../src/views/statistics/columns";
import { amountOf } from "../src/views/statistics/money";
import { ordered, orderOf, pressed } from "../src/views/statistics/order";
import { beginOf, windowWords } from "../src/views/statistics/window";

test("A window reaches back from now, or is a moment itself; anything else is none.", () => {
  expect(beginOf("-5m", 1_000_000)).toBe(1_000_000e6 - 300e9);
  expect(beginOf("1795382344995118336", 0)).toBe(1795382344995118336);
  expect(beginOf("yesterday", 0)).toBeNull();
  expect(beginOf("-5x", 0)).toBeNull();
});

test("A window is told in words.", () => {
  expect(windowWords("-1h")).toBe("1 hour");
  expect(windowWords("-30d")).toBe("30 days");
});

const figures = (changes: Partial<HistoryStatistics>): HistoryStatistics => ({ ...(NOTHING as HistoryStatistics), ...changes });
const NOTHING: Partial<HistoryStatistics> = { since: 0, until: 600, moment_ns: 10, moments: [] };

test("Where nothing happened there is an empty column, and no figure is lost.", () => {
  const moments = [{ at: 10, steps: 3, errors: 1 }, { at: 591, steps: 2, errors: 0 }, { at: 600, steps: 1, errors: 1 }];
  const columns = columnsOf(figures({ moments }));
  expect(columns.map(({ steps }) => steps)).toEqual([0, 3, ...Array.from({ length: 57 }, () => 0), 3]);
  expect(columns.reduce((sum, { errors }) => sum + errors, 0)).toBe(2);
});

test("Where only the newest steps were counted the columns begin with them.", () => {
  const columns = columnsOf(figures({ until: 1_000_000, moments: [{ at: 999_400, steps: 5, errors: 0 }] }));
  expect(columns[0]).toEqual({ at: 999_400, steps: 5, errors: 0 });
});

test("A table without figures for a row puts it last either way.", () => {
  const rows = [{ ms: 2 }, { ms: null }, { ms: 5 }];
  expect(ordered(rows, ({ ms }) => ms, false)).toEqual([{ ms: 5 }, { ms: 2 }, { ms: null }]);
  expect(ordered(rows, ({ ms }) => ms, true)).toEqual([{ ms: 2 }, { ms: 5 }, { ms: null }]);
});

test("Names begin at the beginning of the alphabet, and turn with a second press.", () => {
  const names = ["b", "c", "a"];
  expect(ordered(names, (name) => name, false)).toEqual(["a", "b", "c"]);
  expect(pressed(orderOf(null, "calls"), "calls")).toBe("-calls");
  expect(pressed(orderOf("-calls", "calls"), "calls")).toBe("calls");
  expect(pressed(orderOf("-calls", "calls"), "p95")).toBe("p95");
});

test("Less than a cent is told in more digits.", () => {
  expect(amountOf({ amount: 12.345, currency: "USD" })).toBe("12.35 USD");
  expect(amountOf({ amount: 0.00042, currency: "EUR" })).toBe("0.00042 EUR");
});
