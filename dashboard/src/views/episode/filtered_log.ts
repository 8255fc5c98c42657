/** The steps of an episode that pass a filter: what is stored page by page, then what comes, with no gap between. */

import { get } from "../../api/client";
import type { Step, StepPage } from "../../api/schema";
import { connection } from "../../live/connection";
import { listen } from "../../live/feed";
import { isError, StepLog } from "./step_log";

const PAGE = 500;
const ROWS_MAX = 250_000;

/** See above. */
export class FilteredLog extends StepLog {
  newErrors = 0;
  /** Whether there are more rows than the page takes. */
  isTruncated = false;
  #rows: Step[] = [];
  #silence: () => void = () => {};
  #abort = new AbortController();
  #isLive = false;

  constructor(
    readonly episode: string,
    readonly filter: string,
    readonly onSteps: (steps: Step[]) => void,
  ) {
    super();
    connection.begin();
    void this.#load();
  }

  get length(): number {
    return this.#rows.length;
  }

  step(place: number): Step | undefined {
    return this.#rows[place];
  }

  look(): void {}

  placeOf(sequence: number): number {
    let low = 0;
    for (let high = this.#rows.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.#rows[middle]?.sequence ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(0, this.#rows.length - 1));
  }

  async nextError(place: number, by: 1 | -1): Promise<number | null> {
    for (let at = place + by; at >= 0 && at < this.#rows.length; at += by) {
      const step = this.#rows[at];
      if (step !== undefined && isError(step)) return at;
    }
    return null;
  }

  close(): void {
    this.#silence();
    this.#abort.abort();
    this.silence();
  }

  async #load(): Promise<void> {
    try {
      let after: number | null = 0;
      let place: string | null = null;
      while (after !== null && this.#rows.length < ROWS_MAX) {
        const parameters = { episode: this.episode, filter: this.filter, after, limit: PAGE };
        const page: StepPage = await get<StepPage>("/steps", parameters, this.#abort.signal);
        this.#rows.push(...page.items);
        place = `${page.epoch}:${page.cursor}`;
        after = page.next;
        this.isLoading = after !== null;
        this.changed();
      }
      this.isTruncated = after !== null;
      this.isLoading = false;
      this.changed();
      if (!this.isTruncated) this.#listen(place);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error;
      this.isLoading = false;
      this.changed();
    }
  }

  #listen(after: string | null): void {
    if (this.#abort.signal.aborted) return;
    this.#silence = listen({ after, filter: this.filter, episode: this.episode }, {
      onMessage: (message) => {
        if (message.type === "live") this.#isLive = true;
        connection.heard(this.#isLive);
        if (message.type === "reset") location.reload();
        if (message.type !== "steps" || message.steps.length === 0) return;
        this.#rows.push(...message.steps);
        this.newErrors += message.steps.filter(isError).length;
        this.onSteps(message.steps);
        this.changed();
      },
      onAway: (sinceMs) => {
        this.#isLive = false;
        connection.lost(sinceMs);
      },
    });
  }
}
