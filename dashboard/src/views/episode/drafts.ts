/** Answers that are still being made: pieces that are told to who watches now, gone when the answer is there. */

import type { Delta, DeltaPart, Step } from "../../api/schema";
import { Beat } from "../../parts/beat";

const CHARACTERS_MAX = 20_000;

/** What was made so far of one part of an answer; of a long one the end. */
export interface Draft {
  part: DeltaPart;
  text: string;
}

/** See above. */
export class Drafts extends Beat {
  #byCall = new Map<string, Draft[]>();

  /** What is being made for a call; nothing where nothing was heard. */
  of(call: string): readonly Draft[] {
    return this.#byCall.get(call) ?? [];
  }

  /** More was made. */
  add(deltas: Delta[]): void {
    for (const { step_id: call, part, text } of deltas) {
      const drafts = this.#byCall.get(call) ?? [];
      const before = drafts.at(-1);
      const whole = (before?.part === part ? before.text : "") + text;
      const draft = { part, text: whole.slice(-CHARACTERS_MAX) };
      this.#byCall.set(call, before?.part === part ? [...drafts.slice(0, -1), draft] : [...drafts, draft]);
    }
    this.changed();
  }

  /** What closes a call is its answer. */
  take(steps: Step[]): void {
    if (this.#byCall.size === 0) return;
    for (const { closes } of steps) if (closes !== null && this.#byCall.delete(closes)) this.changed();
  }
}
