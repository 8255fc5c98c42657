import { expect, test } from "vitest";

import type { Episode, ExactTimeline, Span } from "../src/api/schema";
import { markLabel, markStep } from "../src/views/episode/waterfall/axis";
import { barWith, boardOf, neighbourOf } from "../src/views/episode/waterfall/board";
import { Clock, idleBetween, panned, zoomed } from "../src/views/episode/waterfall/clock";
import { around } from "../src/views/episode/waterfall/timeline";

const SECOND = 1e9;

function span(sequence: number, from: number, to: number | null, parent: number | null = null, lane = "a"): Span {
  return {
    step_id: `s${sequence}`, sequence, closing_id: to === null ? null : `c${sequence}`, kind: "tool_call", label: null, lane, agent: lane,
    role: null, parent_id: parent === null ? null : `s${parent}`, started_at: from, ended_at: to, status: to === null ? "running" : "ok",
  };
}

function timeline(...spans: Span[]): ExactTimeline {
  const episode = { started_at: 0, ended_at: null, last_at: 100 } as Episode;
  return { type: "exact", timeline: { episode, lanes: [...new Set(spans.map((each) => each.lane))], spans, instants: [] } };
}

test("A call under another stands in the row below it.", () => {
  const { bands } = boardOf(timeline(span(0, 0, 50), span(1, 10, 20, 0), span(2, 30, 40, 0)), []);
  expect(bands[0]?.bars.map((bar) => bar.row)).toEqual([0, 1, 1]);
});

test("Calls at the same time stand in rows of their own, and a free row is used again.", () => {
  const { bands } = boardOf(timeline(span(0, 0, 50), span(1, 10, null), span(2, 60, 70), span(3, 65, 70)), []);
  expect(bands[0]?.bars.map((bar) => bar.row)).toEqual([0, 1, 0, 2]);
});

test("Lanes that are known keep their order, also where nothing happened in them.", () => {
  const { bands } = boardOf(timeline(span(0, 0, 50, null, "b")), ["a", "b"]);
  expect(bands.map((band) => [band.name, band.bars.length])).toEqual([["a", 0], ["b", 1]]);
});

test("What closes a call is found with its bar, and the neighbours stand before and after it.", () => {
  const board = boardOf(timeline(span(0, 0, 5), span(2, 6, 8)), []);
  const found = barWith(board, 1, "c0", "s0");
  expect(found?.bar.sequence).toBe(0);
  expect(found && neighbourOf(found.band, found.bar, 1)?.sequence).toBe(2);
  expect(found && neighbourOf(found.band, found.bar, -1)).toBeUndefined();
});

test("A clock with a gap shows what is before and behind it at its own width, and leads back.", () => {
  const gaps = idleBetween([{ from: 0, to: 2 * SECOND }, { from: 12 * SECOND, to: 20 * SECOND }], 20 * SECOND);
  expect(gaps).toEqual([{ from: 2 * SECOND, to: 12 * SECOND }]);
  const clock = new Clock(gaps, 20 * SECOND);
  expect(clock.shown(20 * SECOND) - clock.shown(12 * SECOND)).toBeCloseTo(8 * SECOND, -1);
  expect(clock.shown(12 * SECOND)).toBeLessThan(3 * SECOND);
  for (const at of [0, 1, 2, 7, 12, 19].map((seconds) => seconds * SECOND)) expect(clock.real(clock.shown(at))).toBeCloseTo(at, -1);
});

test("A clock without gaps shows every moment where it is.", () => {
  expect(new Clock([], SECOND).shown(123)).toBe(123);
});

test("Zooming keeps the moment under the pointer in its place, and ends at the whole.", () => {
  const view = zoomed({ from: 0, to: SECOND }, SECOND / 4, 0.5, SECOND);
  expect(view).toEqual({ from: SECOND / 8, to: (SECOND * 5) / 8 });
  expect(zoomed(view, 0, 100, SECOND)).toEqual({ from: 0, to: SECOND });
  expect(panned(view, SECOND, SECOND).to).toBe(SECOND);
});

test("The marks of the axis are round and as exact as they have to be.", () => {
  expect(markStep(SECOND / 100, 90)).toBe(SECOND);
  expect(markLabel(0, SECOND)).toBe("0");
  expect(markLabel(1.5 * SECOND, SECOND / 10)).toBe("1.5 s");
  expect(markLabel(20e6, 20e6)).toBe("20 ms");
  expect(markLabel(80 * SECOND, 20 * SECOND)).toBe("1 m 20 s");
  expect(markLabel(3_900 * SECOND, 300 * SECOND)).toBe("1 h 5 m");
});

test("A small move asks for the same part of the timeline.", () => {
  const sight = { since: 1_000_000, until: 2_000_000, pixels: 1_000 };
  expect(around({ ...sight, since: 1_010_000, until: 2_010_000 })).toEqual(around(sight));
  expect(around(sight).since).toBeLessThanOrEqual(750_000);
  expect(around(sight).until).toBeGreaterThanOrEqual(2_250_000);
});
