/** What lies under a place of the waterfall. */

import { AXIS, BAR_MIN, GUTTER, type Picture, placeOf } from "./draw";
import { type Band, type Bar, type Cell, TICKS } from "./board";

const NEAR = 5;

/** What is there: a lane, and in it a bar or a density. */
export interface Hit {
  band: Band;
  bar: Bar | null;
  cell: Cell | null;
}

/** See above; null beside the lanes. */
export function hitAt(picture: Picture, x: number, y: number): Hit | null {
  const { board, scrolled, now, clock, view, width } = picture;
  const down = y - AXIS + scrolled;
  const band = board.bands.find(({ top, height }) => down >= top && down < top + height);
  if (x < GUTTER || y < AXIS || band === undefined) return null;
  const at = clock.real(view.from + ((x - GUTTER) / (width - GUTTER)) * (view.to - view.from));
  const cell = band.cells.find(({ from, to }) => at >= from && at < to) ?? null;
  if (down < band.top + TICKS) {
    const near = (tick: Bar): number => Math.abs(placeOf(picture, tick.from) - x);
    const nearest = band.ticks.reduce<Bar | null>((best, tick) => (best === null || near(tick) < near(best) ? tick : best), null);
    return { band, bar: nearest !== null && near(nearest) <= NEAR ? nearest : null, cell };
  }
  const row = Math.floor((down - band.top - TICKS) / band.rowHeight);
  const bar = band.bars.findLast((each) => {
    if (each.row !== row) return false;
    const left = placeOf(picture, each.from);
    return x >= left - 1 && x <= Math.max(left + BAR_MIN, placeOf(picture, each.to ?? now)) + 1;
  });
  return { band, bar: bar ?? null, cell };
}
