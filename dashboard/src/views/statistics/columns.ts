/** Steps over time as columns of equal width; where nothing happened there is an empty one. */

import type { HistoryStatistics } from "../../api/schema";

/** A stretch of time and what happened in it. */
export interface Column {
  /** When it begins; ns since 1970 UTC. */
  at: number;
  steps: number;
  errors: number;
}

/** In so many stretches the server divides the time that it looked at. */
const COLUMNS = 60;

/** The columns from the first step that was looked at, or the beginning of the window, to its end. */
export function columnsOf({ moments, moment_ns: width, until }: HistoryStatistics): Column[] {
  const begin = until - COLUMNS * width;
  const columns = Array.from({ length: COLUMNS }, (_, index): Column => ({ at: begin + index * width, steps: 0, errors: 0 }));
  for (const { at, steps, errors } of moments) {
    const column = columns[Math.min(COLUMNS - 1, Math.max(0, Math.round((at - begin) / width)))];
    if (column === undefined) continue;
    column.steps += steps;
    column.errors += errors;
  }
  return columns;
}
