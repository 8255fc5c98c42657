/**
 * All steps of an episode. Sequence numbers are gapless, so that a row's place is its sequence number: any part
 * of an episode of any length can be opened at once. Parts that are out of sight for long are let go.
 */

import { get } from "../../api/client";
import type { Step, StepPage, StepWindow } from "../../api/schema";
import { connection } from "../../live/connection";
import { listen } from "../../live/feed";
import { isError, StepLog } from "./step_log";

const PAGE = 200;
const PAGES_MAX = 150;

/** See above. */
export class WholeLog extends StepLog {
  length = 0;
  newErrors = 0;
  #pages = new Map<number, (Step | undefined)[]>();
  #asked = new Set<number>();
  #silence: () => void = () => {};
  #abort = new AbortController();
  #isLive = false;

  constructor(
    readonly episode: string,
    readonly onSteps: (steps: Step[]) => void,
  ) {
    super();
    connection.begin();
    void this.#open();
  }

  step(place: number): Step | undefined {
    return this.#pages.get(Math.floor(place / PAGE))?.[place % PAGE];
  }

  look(first: number, last: number): void {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page += 1) {
      if (!this.#isWhole(page) && !this.#asked.has(page) && page * PAGE < this.length) void this.#fetch(page);
      const rows = this.#pages.get(page);
      if (rows !== undefined) {
        // Looked at last, let go last.
        this.#pages.delete(page);
        this.#pages.set(page, rows);
      }
    }
  }

  placeOf(sequence: number): number {
    return Math.min(sequence, Math.max(0, this.length - 1));
  }

  async nextError(place: number, by: 1 | -1): Promise<number | null> {
    if (by === 1) {
      const page = await this.#filtered("(kind:error OR kind:loss)", `seq:${place + 1}..`, 1);
      return page.items[0]?.sequence ?? null;
    }
    for (let until = place - 1; until >= 0; until -= 20 * PAGE) {
      const from = Math.max(0, until - 20 * PAGE + 1);
      const page = await this.#filtered("(kind:error OR kind:loss)", `seq:${from}..${until}`, 500);
      const found = page.items.at(-1);
      if (found !== undefined) return found.sequence;
    }
    return null;
  }

  close(): void {
    this.#silence();
    this.#abort.abort();
    this.silence();
  }

  #filtered(kinds: string, range: string, limit: number): Promise<StepPage> {
    const filter = `${kinds} ${range}`;
    return get<StepPage>("/steps", { episode: this.episode, filter, limit }, this.#abort.signal);
  }

  /** The newest part first: it is what a person wants to see, and where the stream goes on. */
  async #open(): Promise<void> {
    try {
      const end = await this.#window({ limit: 1 });
      const from = Math.max(0, Math.floor((end.steps - 1) / PAGE) * PAGE);
      const tail = await this.#window({ from, limit: 2 * PAGE });
      this.length = tail.steps;
      this.#put(tail.items);
      const last = tail.items.at(-1);
      this.isLoading = false;
      this.changed();
      this.#listen(last === undefined ? null : `${tail.epoch}:${last.cursor}`);
    } catch (error) {
      this.#fail(error);
    }
  }

  #listen(after: string | null): void {
    if (this.#abort.signal.aborted) return;
    this.#silence = listen({ after, episode: this.episode }, {
      onMessage: (message) => {
        if (message.type === "live") this.#isLive = true;
        connection.heard(this.#isLive);
        if (message.type === "steps") this.#take(message.steps);
        else if (message.type === "deltas") this.drafts.add(message.deltas);
        else if (message.type === "reset") location.reload();
      },
      onAway: (sinceMs) => {
        this.#isLive = false;
        connection.lost(sinceMs);
      },
    });
  }

  #take(steps: Step[]): void {
    this.#put(steps);
    this.drafts.take(steps);
    this.newErrors += steps.filter(isError).length;
    this.onSteps(steps);
    this.changed();
  }

  #put(steps: Step[]): void {
    for (const step of steps) {
      const page = Math.floor(step.sequence / PAGE);
      let rows = this.#pages.get(page);
      if (rows === undefined) {
        rows = [];
        this.#pages.set(page, rows);
        this.#letGo();
      }
      rows[step.sequence % PAGE] = step;
      this.length = Math.max(this.length, step.sequence + 1);
    }
  }

  #letGo(): void {
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > PAGES_MAX && oldest !== undefined) this.#pages.delete(oldest);
  }

  #isWhole(page: number): boolean {
    const rows = this.#pages.get(page);
    if (rows === undefined) return false;
    const wanted = Math.min(PAGE, this.length - page * PAGE);
    for (let place = 0; place < wanted; place += 1) if (rows[place] === undefined) return false;
    return true;
  }

  async #fetch(page: number): Promise<void> {
    this.#asked.add(page);
    try {
      // An answer ends at some megabytes, too; then the rest is asked for.
      for (let from: number | null = page * PAGE; from !== null && from < (page + 1) * PAGE; ) {
        const to = (page + 1) * PAGE - 1;
        const found: StepWindow = await this.#window({ from, to, limit: PAGE });
        this.#put(found.items);
        from = found.items.length ? found.next : null;
      }
      this.error = null;
    } catch (error) {
      this.#fail(error);
    }
    this.#asked.delete(page);
    this.changed();
  }

  #window(parameters: { from?: number; to?: number; limit: number }): Promise<StepWindow> {
    return get<StepWindow>(`/episodes/${this.episode}/steps`, parameters, this.#abort.signal);
  }

  #fail(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.error = error;
    this.isLoading = false;
    this.changed();
  }
}
