/** What the views of an episode read steps from: all of them, or those that pass a filter. */

import type { Step } from "../../api/schema";
import { Beat } from "../../parts/beat";
import { Drafts } from "./drafts";

/** Rows by their place. Those that are not here yet are asked for when they are looked at. */
export abstract class StepLog extends Beat {
  error: unknown = null;
  /** Answers that are still being made. */
  readonly drafts = new Drafts();
  /** Whether the first rows are still awaited. */
  isLoading = true;
  /** How many rows there are, as far as known. */
  abstract readonly length: number;
  /** Errors among the rows that came while the page was open. */
  abstract readonly newErrors: number;

  /** The step of a row; undefined while it is not here. */
  abstract step(place: number): Step | undefined;
  /** Rows are in sight: get what is missing. */
  abstract look(first: number, last: number): void;
  /** The place of a sequence number: of its own row, or of the next one that passes. */
  abstract placeOf(sequence: number): number;
  /** Place of the next error from a place on, in a direction; null where there is none that is known. */
  abstract nextError(place: number, by: 1 | -1): Promise<number | null>;
  /** Listen and ask no more. */
  abstract close(): void;
}

/** Whether a step says that something failed. */
export function isError(step: Step): boolean {
  return step.kind === "error_report" || step.kind === "loss";
}
