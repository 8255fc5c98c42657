/**
 * Where a list of entries of unknown height stands: its anchor, and what its scroll bar is to say.
 *
 * A browser cannot make an element of more than about 17 million pixels, so that the scroll bar of a long list
 * is shorter than the list. Pure; must not know of elements.
 */

const HEIGHT_MAX = 12_000_000;

/** An entry whose edge stays at a line: its top `offset` below the top of the view, or its bottom below the view's. */
export interface Anchor {
  index: number;
  edge: "top" | "bottom";
  offset: number;
}

/** The entries that are drawn, and where they stand; `top` in pixels from the top of the view. */
export interface Place {
  first: number;
  last: number;
  length: number;
  top: number;
  height: number;
  view: number;
}

/** Entries to draw first around an anchor: the view, and half of one on either side. */
export function aroundAnchor({ index, edge }: Anchor, view: number, average: number, length: number): { first: number; last: number } {
  const half = Math.ceil((view * 0.5) / average);
  const [before, behind] = edge === "bottom" ? [3 * half, half] : [half, 3 * half];
  return { first: Math.max(0, index - before), last: Math.min(length, index + behind + 1) };
}

/** Height of what is scrolled through. */
export function barOf(length: number, average: number): number {
  return Math.min(length * average, HEIGHT_MAX);
}

/** Where the scroll bar is to stand: exactly at the ends, where they are drawn, and in proportion between them. */
export function restOf({ first, last, length, top, height, view }: Place, spread: number): number {
  const travel = Math.max(0, spread - view);
  if (first === 0 && last === length && height <= view) return 0;
  if (first === 0) return Math.min(Math.max(0, -top), last === length ? travel : travel - 1);
  if (last === length) return Math.max(Math.min(travel, travel - (top + height - view)), 1);
  const each = spread / length;
  return Math.min(travel - view, Math.max(view, first * each - top * Math.min(1, each / (height / (last - first)))));
}
