/**
 * From an episode's clock to what is shown of it, and back. Both count in ns from the episode's beginning; they
 * differ where stretches in which nothing happened are left out. Must not know pixels or steps.
 */

/** A part of a clock. */
export interface Stretch {
  from: number;
  to: number;
}

/** Nobody can see less than this. */
const SHOWN_MIN = 10_000;
/** A stretch is idle that is longer than this, and than this share of the whole. */
const IDLE_NS = 1e9;
const IDLE_SHARE = 0.03;
/** What is left of all gaps together, beside what is not left out. */
const KEPT_SHARE = 0.02;

/** See above. */
export class Clock {
  readonly #kept: number;

  /** The gaps stand in their order and do not touch each other. */
  constructor(readonly gaps: readonly Stretch[], end: number) {
    const idle = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
    this.#kept = (end - idle) * KEPT_SHARE;
  }

  /** Where a moment is shown. */
  shown(at: number): number {
    let left = 0;
    for (const { from, to } of this.gaps) {
      if (at <= from) break;
      if (at < to) return from - left + ((at - from) / (to - from)) * this.#kept;
      left += to - from - this.#kept;
    }
    return at - left;
  }

  /** The moment that is shown at a place. */
  real(shown: number): number {
    let left = 0;
    for (const { from, to } of this.gaps) {
      if (shown <= from - left) break;
      if (shown < from - left + this.#kept) return from + ((shown - from + left) / this.#kept) * (to - from);
      left += to - from - this.#kept;
    }
    return shown + left;
  }
}

/** The stretches between some others that are long enough to be left out. */
export function idleBetween(busy: readonly Stretch[], end: number): Stretch[] {
  const least = Math.max(IDLE_NS, end * IDLE_SHARE);
  const gaps: Stretch[] = [];
  let until = 0;
  for (const { from, to } of [...busy].sort((a, b) => a.from - b.from)) {
    if (from - until > least) gaps.push({ from: until, to: from });
    until = Math.max(until, to);
  }
  if (end - until > least) gaps.push({ from: until, to: end });
  return gaps;
}

/** A view made narrower (below 1) or wider around a place, within the whole. */
export function zoomed(view: Stretch, around: number, factor: number, whole: number): Stretch {
  const width = Math.min(whole, Math.max(SHOWN_MIN, (view.to - view.from) * factor));
  const share = (around - view.from) / (view.to - view.from);
  return within({ from: around - share * width, to: around + (1 - share) * width }, whole);
}

/** A view moved, within the whole. */
export function panned(view: Stretch, by: number, whole: number): Stretch {
  return within({ from: view.from + by, to: view.to + by }, whole);
}

function within({ from, to }: Stretch, whole: number): Stretch {
  const width = Math.min(whole, to - from);
  const begin = Math.min(Math.max(0, from), whole - width);
  return { from: begin, to: begin + width };
}
