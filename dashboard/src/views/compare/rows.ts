/** The rows of a comparison: its blocks, and where they part. */

import type { AlignedBlock, EpisodeComparison } from "../../api/schema";

/** Place of the block with which the episodes part; null where they never do. */
export function firstDifference({ blocks, first_divergence: divergence }: EpisodeComparison): number | null {
  if (divergence === null) return null;
  const place = blocks.findIndex((block) => block.relation !== "same");
  return place < 0 ? null : place;
}

/** Place of the next block in a direction that is not the same; the given one where there is none. */
export function nextDifference(blocks: AlignedBlock[], from: number, by: 1 | -1): number {
  for (let place = from + by; place >= 0 && place < blocks.length; place += by) {
    if (blocks[place]?.relation !== "same") return place;
  }
  return from;
}

/** The steps of one side of a block in words: `steps 3 to 9`, `step 3`; null where it has none. */
export function stepsOf(first: number | null, last: number | null): string | null {
  if (first === null) return null;
  return last === null || last === first ? `step ${first}` : `steps ${first} to ${last}`;
}

/** How a figure of the second differs from the first's: `+12`, `−3`; null where it does not. */
export function differenceOf(a: number, b: number, words: (amount: number) => string): string | null {
  if (a === b) return null;
  return b > a ? `+${words(b - a)}` : `−${words(a - b)}`;
}
