/** A snippet in pieces, marked and unmarked: what the server counts are code points, what JavaScript cuts are not. */

import type { Snippet } from "../../api/schema";

/** A part of a text, and whether it was looked for. */
export interface Piece {
  text: string;
  isMarked: boolean;
}

/** The pieces of a snippet from its beginning to its end. */
export function piecesOf({ text, highlights }: Snippet): Piece[] {
  const points = Array.from(text);
  const pieces: Piece[] = [];
  let done = 0;
  const cut = (end: number, isMarked: boolean): void => {
    if (end > done && done < points.length) pieces.push({ text: points.slice(done, end).join(""), isMarked });
    done = Math.max(done, end);
  };
  for (const { start, end } of highlights) {
    cut(start, false);
    cut(end, true);
  }
  cut(points.length, false);
  return pieces;
}
