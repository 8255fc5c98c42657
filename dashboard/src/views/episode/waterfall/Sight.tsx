/** What a waterfall shows, in words: how much of the episode, how exactly, and what is left out. */

import { duration } from "../../../steps/figures";
import type { TimelineAnswer } from "./board";
import type { Stretch } from "./clock";

interface Properties {
  answer: TimelineAnswer;
  isFiltered: boolean;
  /** How much of it is seen; null for all of it. */
  shown: number | null;
  gaps: readonly Stretch[];
}

/** See above. */
export function Sight({ answer, isFiltered: filtered, shown, gaps }: Properties) {
  const idle = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
  const parts = [
    shown === null ? "the whole episode" : `${duration(shown)} of it`,
    answer.type === "exact" ? "step by step" : `density, ${duration(answer.width_ns)} a column: zoom in for single steps`,
    gaps.length > 0 ? `${gaps.length} idle ${gaps.length === 1 ? "gap" : "gaps"} left out (${duration(idle)})` : null,
    filtered ? (answer.type === "exact" ? "what does not pass the filter is pale" : "the filter does not narrow densities") : null,
  ];
  return <>{parts.filter(Boolean).join(" · ")}</>;
}
