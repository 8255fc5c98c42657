/**
 * What stands where in a waterfall: the lanes under each other, in each of them bars in rows so that none covers
 * another, or the density of what is too much for bars. Times are ns from the episode's beginning, heights are
 * pixels. Must not know how it is drawn, or which part of it.
 */

import type { BucketTimeline, EpisodeTimeline, ExactTimeline, Instant, Span, SpanStatus } from "../../../api/schema";
import type { Stretch } from "./clock";

/** What the server answers. */
export type TimelineAnswer = ExactTimeline | BucketTimeline;

/** A step that took time, or one that did not: then it has no status. */
export interface Bar {
  sequence: number;
  stepId: string;
  closingId: string | null;
  kind: string;
  label: string | null;
  who: string;
  status: SpanStatus | null;
  from: number;
  /** Null while it is open. */
  to: number | null;
  row: number;
}

/** A stretch of a lane too full for bars. */
export interface Cell extends Stretch {
  steps: number;
  errors: number;
  /** The share of it in which some call was open. */
  busy: number;
}

/** A lane with its place. */
export interface Band {
  name: string;
  top: number;
  height: number;
  rowHeight: number;
  bars: Bar[];
  /** What took no time; it stands above the bars. */
  ticks: Bar[];
  cells: Cell[];
}

/** See above. */
export interface Board {
  bands: Band[];
  height: number;
}

/** Height of what stands above the bars. */
export const TICKS = 15;
const PADDING = 7;
const ROW = 20;
const ROW_MIN = 4;
/** So high a lane's rows may grow before they become thin. */
const ROWS_HEIGHT = 170;
const CELLS_HEIGHT = 52;

/** Put the lanes under each other; those that were known before keep their order. */
export function boardOf(answer: TimelineAnswer, known: readonly string[]): Board {
  const lanes = answer.type === "exact" ? exactLanes(answer.timeline) : densityLanes(answer);
  const bands: Band[] = [];
  let top = 0;
  for (const name of new Set([...known, ...lanes.keys()])) {
    const lane = lanes.get(name) ?? EMPTY;
    const rows = 1 + Math.max(-1, ...lane.bars.map((bar) => bar.row));
    const rowHeight = Math.max(ROW_MIN, Math.min(ROW, Math.floor(ROWS_HEIGHT / Math.max(1, rows))));
    const height = PADDING + (lane.cells.length ? CELLS_HEIGHT : TICKS + Math.max(1, rows) * rowHeight);
    bands.push({ name, top, height, rowHeight, ...lane });
    top += height;
  }
  return { bands, height: top };
}

/** The names of the lanes of an answer. */
export function lanesOf(answer: TimelineAnswer): string[] {
  return answer.type === "exact" ? answer.timeline.lanes : answer.lanes.map((lane) => lane.name);
}

/** When something was going on. */
export function busyIn(answer: TimelineAnswer, now: number): Stretch[] {
  if (answer.type === "exact") {
    const { episode, spans, instants } = answer.timeline;
    const began = episode.started_at;
    return [
      ...spans.map((span) => ({ from: span.started_at - began, to: span.ended_at === null ? now : span.ended_at - began })),
      ...instants.map(({ at }) => ({ from: at - began, to: at - began })),
    ];
  }
  const offset = answer.since - answer.episode.started_at;
  return answer.buckets.map(({ index }) => ({
    from: offset + index * answer.width_ns,
    to: offset + (index + 1) * answer.width_ns,
  }));
}

interface Lane {
  bars: Bar[];
  ticks: Bar[];
  cells: Cell[];
}

const EMPTY: Lane = { bars: [], ticks: [], cells: [] };

function exactLanes({ episode, lanes, spans, instants }: EpisodeTimeline): Map<string, Lane> {
  const found = new Map<string, Lane>(lanes.map((name) => [name, { bars: [], ticks: [], cells: [] }]));
  const began = episode.started_at;
  for (const instant of instants) found.get(instant.lane)?.ticks.push(tickOf(instant, began));
  const ends = new Map<string, number[]>();
  const rows = new Map<string, { lane: string; row: number }>();
  for (const span of [...spans].sort((a, b) => a.started_at - b.started_at || a.sequence - b.sequence)) {
    const above = span.parent_id === null ? undefined : rows.get(span.parent_id);
    const taken = ends.get(span.lane) ?? [];
    ends.set(span.lane, taken);
    let row = above?.lane === span.lane ? above.row + 1 : 0;
    while ((taken[row] ?? 0) > span.started_at) row += 1;
    taken[row] = span.ended_at ?? Infinity;
    rows.set(span.step_id, { lane: span.lane, row });
    found.get(span.lane)?.bars.push(barOf(span, began, row));
  }
  return found;
}

function barOf(span: Span, began: number, row: number): Bar {
  return {
    ...named(span),
    closingId: span.closing_id,
    status: span.status,
    from: span.started_at - began,
    to: span.ended_at === null ? null : span.ended_at - began,
    row,
  };
}

function tickOf(instant: Instant, began: number): Bar {
  return { ...named(instant), closingId: null, status: null, from: instant.at - began, to: instant.at - began, row: -1 };
}

function named({ sequence, step_id, kind, label, role, agent }: Span | Instant) {
  return { sequence, stepId: step_id, kind, label, who: role ?? agent ?? "" };
}

function densityLanes({ episode, since, width_ns, lanes }: BucketTimeline): Map<string, Lane> {
  const offset = since - episode.started_at;
  return new Map(lanes.map(({ name, cells }) => [name, {
    bars: [],
    ticks: [],
    cells: cells.map(({ index, steps, errors, busy }) => ({
      from: offset + index * width_ns,
      to: offset + (index + 1) * width_ns,
      steps,
      errors,
      busy,
    })),
  }]));
}

/** Whether a bar says that something failed. */
export function isBad(bar: Bar): boolean {
  return bar.status === "error" || bar.kind === "error_report" || bar.kind === "loss";
}

/** The bar of a step: its own, or that of the call it closes. */
export function barWith(board: Board, sequence: number, stepId: string | undefined, closes: string | null | undefined): { band: Band; bar: Bar } | null {
  for (const band of board.bands) {
    for (const bars of [band.bars, band.ticks]) {
      const bar = bars.find((each) =>
        each.sequence === sequence || (stepId !== undefined && each.closingId === stepId) || (closes && each.stepId === closes));
      if (bar !== undefined) return { band, bar };
    }
  }
  return null;
}

/** The next bar of the same lane, or the one before. */
export function neighbourOf(band: Band, bar: Bar, by: 1 | -1): Bar | undefined {
  const all = [...band.bars, ...band.ticks].sort((a, b) => a.from - b.from || a.sequence - b.sequence);
  return all[all.indexOf(bar) + by];
}
