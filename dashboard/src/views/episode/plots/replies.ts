/** What the models answered in an episode, with tokens and cost: read page by page, and on while it runs. */

import { get } from "../../../api/client";
import type { ModelReplyStep, Step, StepPage } from "../../../api/schema";
import { Beat } from "../../../parts/beat";
import { isCore } from "../../../steps/headline";

/** More is not read. */
export const REPLIES_MAX = 4_000;
const PAGE = 250;

/** Of a reply what is drawn; the answers themselves are let go. */
export interface Reply {
  sequence: number;
  /** ns from the episode's beginning. */
  at: number;
  model: string | null;
  input: number | null;
  output: number | null;
  cost: { amount: number; currency: string } | null;
}

/** See above. */
export class Replies extends Beat {
  /** A new array whenever there are more. */
  all: readonly Reply[] = [];
  isLoading = true;
  isTruncated = false;
  error: unknown = null;
  #after = 0;
  #isReading = false;
  #abort = new AbortController();

  constructor(readonly episode: string, readonly began: number) {
    super();
    void this.#read();
  }

  /** Something was logged. */
  renew(): void {
    if (!this.#isReading && !this.isTruncated) void this.#read();
  }

  close(): void {
    this.#abort.abort();
    this.silence();
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    try {
      for (let isMore = true; isMore; ) {
        const parameters = { episode: this.episode, filter: "kind:model_reply", after: this.#after, limit: PAGE };
        const page: StepPage = await get<StepPage>("/steps", parameters, this.#abort.signal);
        const replies = page.items.filter(isReply).map((step) => replyOf(step, this.began));
        if (replies.length) this.all = [...this.all, ...replies].slice(0, REPLIES_MAX);
        this.#after = Math.max(this.#after, page.next ?? page.cursor);
        this.isTruncated = page.next !== null && this.all.length >= REPLIES_MAX;
        isMore = page.next !== null && !this.isTruncated;
        this.isLoading = isMore;
        this.changed();
      }
      this.error = null;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error;
      this.isLoading = false;
      this.changed();
    }
    this.#isReading = false;
  }
}

function isReply(step: Step): step is ModelReplyStep {
  return isCore(step) && step.kind === "model_reply";
}

function replyOf({ sequence, occurred_at, payload: { model, usage, cost } }: ModelReplyStep, began: number): Reply {
  return {
    sequence,
    at: occurred_at - began,
    model,
    input: usage?.input_tokens ?? null,
    output: usage?.output_tokens ?? null,
    cost: cost && { amount: cost.amount, currency: cost.currency },
  };
}
