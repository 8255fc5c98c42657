/** The list of episodes: loaded page by page, renewed while something happens, never moved under the pointer. */

import { get } from "../../api/client";
import type { EpisodePage, EpisodeSummary } from "../../api/schema";
import { connection } from "../../live/connection";
import { listen } from "../../live/feed";
import { Beat } from "../../parts/beat";

const PAGE = 100;
const RENEW_MS = 400;
const RENEW_RUNNING_MS = 800;

/** Episodes that pass a filter, the latest to start first. */
export class EpisodeList extends Beat {
  rows: EpisodeSummary[] = [];
  /** Episodes that began since; they come into the list when the person is at its top, or asks for them. */
  waiting: EpisodeSummary[] = [];
  error: unknown = null;
  isLoading = true;
  isComplete = false;
  #isHeld = false;
  #next: string | null = null;
  #range: [number, number] = [0, PAGE];
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #ticks: ReturnType<typeof setInterval>;
  #silence: () => void;
  #abort = new AbortController();

  constructor(readonly filter: string) {
    super();
    connection.begin();
    // No step but the first of an episode passes: what is heard is that an episode began.
    this.#silence = listen({ after: null, filter: "seq:0" }, {
      onMessage: (message) => {
        connection.heard(message.type === "live");
        this.#renewSoon();
      },
      onAway: (sinceMs) => connection.lost(sinceMs),
    });
    this.#ticks = setInterval(() => {
      if (!document.hidden && this.#isRunning()) this.#renewSoon();
    }, RENEW_RUNNING_MS);
    void this.more();
  }

  /** Load the next page. */
  async more(): Promise<void> {
    if (this.isComplete) return;
    this.isLoading = true;
    try {
      const page = await this.#ask(this.#next, PAGE);
      this.rows = [...this.rows, ...page.items];
      this.#next = page.next;
      this.isComplete = page.next === null;
      this.error = null;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error;
    }
    this.isLoading = false;
    this.changed();
  }

  /** Rows in sight: those are renewed; near the end more is loaded. */
  look(first: number, last: number): void {
    this.#range = [first, last];
    if (last >= this.rows.length - PAGE / 4 && !this.isLoading && this.error === null) void this.more();
  }

  /** Whether the list must not move: the pointer is on it, or it is scrolled down. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    if (!isHeld && this.waiting.length) this.take();
  }

  /** Bring in what waits. */
  take(): void {
    this.rows = [...this.waiting, ...this.rows];
    this.waiting = [];
    this.changed();
  }

  close(): void {
    this.#silence();
    this.#abort.abort();
    clearTimeout(this.#renewal);
    clearInterval(this.#ticks);
    this.silence();
  }

  /** Whether anything in sight may have changed. */
  #isRunning(): boolean {
    return this.rows.slice(...this.#range).some((row) => row.episode.status === "running");
  }

  #renewSoon(): void {
    this.#renewal ??= setTimeout(async () => {
      try {
        await this.#renew();
        this.error = null;
      } catch (error) {
        if (!this.#abort.signal.aborted && this.rows.length === 0) this.error = error;
      }
      this.#renewal = undefined;
      this.changed();
    }, RENEW_MS);
  }

  /** Ask again for what is in sight, and for what came before it. */
  async #renew(): Promise<void> {
    const newest = await this.#ask(null, PAGE);
    this.#takeNew(newest.items);
    const fresh = new Map(newest.items.map((item) => [item.episode.id, item]));
    const [first, last] = this.#range;
    const above = this.rows[first - 1];
    if (above !== undefined && last > PAGE) {
      for (const item of (await this.#ask(above.episode.id, last - first)).items) fresh.set(item.episode.id, item);
    }
    this.rows = this.rows.map((row) => fresh.get(row.episode.id) ?? row);
  }

  #takeNew(items: EpisodeSummary[]): void {
    const known = new Set(this.rows.map((row) => row.episode.id));
    const found = items.filter((item) => !known.has(item.episode.id));
    const oldest = this.rows.at(-1)?.episode.started_at ?? 0;
    const isNewer = (item: EpisodeSummary): boolean => this.isComplete || item.episode.started_at >= oldest;
    this.waiting = found.filter(isNewer);
    if (!this.#isHeld && this.waiting.length) this.take();
  }

  async #ask(before: string | null, limit: number): Promise<EpisodePage> {
    return get<EpisodePage>("/episodes", { filter: this.filter, before, limit }, this.#abort.signal);
  }
}
