/** The hits of a search: page after page as they are found, the newest first. */

import { get } from "../../api/client";
import type { SearchHit, SearchPage } from "../../api/schema";
import { Beat } from "../../parts/beat";

const PAGE = 50;
/** A page ends when it took long, with few hits or none: so many of those are asked for before the person is asked. */
const POOR_PAGES_MAX = 40;

/** What is looked for, and where. */
export interface Wanted {
  words: string;
  filter: string;
  /** Id of the episode they must belong to. */
  episode: string | null;
}

/** See above. */
export class SearchHits extends Beat {
  items: SearchHit[] = [];
  error: unknown = null;
  isLoading = false;
  /** Whether there is nothing more. */
  isComplete = false;
  /** Whether it stopped without a screen of hits: the person says whether to go on. */
  isTired = false;
  /** Every step from this cursor on was looked at. */
  searchedTo: number | null = null;
  /** How far the index reaches. */
  indexedTo = 0;
  /** The last cursor there was when it began. */
  lastCursor: number | null = null;
  #next: number | null = null;
  #abort = new AbortController();

  constructor(readonly wanted: Wanted) {
    super();
    void this.more();
  }

  /** Find another page of hits. */
  async more(): Promise<void> {
    if (this.isLoading || this.isComplete) return;
    this.isLoading = true;
    this.isTired = false;
    this.error = null;
    this.changed();
    const wanted = this.items.length + PAGE;
    try {
      for (let pages = 0; !this.isComplete && this.items.length < wanted; pages += 1) {
        if (pages === POOR_PAGES_MAX) {
          this.isTired = true;
          break;
        }
        this.#take(await this.#ask(wanted - this.items.length));
      }
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error;
    }
    this.isLoading = false;
    this.changed();
  }

  /** Rows in sight; near the end more are found. */
  look(last: number): void {
    if (last >= this.items.length - PAGE / 2 && !this.isTired && this.error === null) void this.more();
  }

  /** Ask no more. */
  close(): void {
    this.#abort.abort();
    this.silence();
  }

  #take(page: SearchPage): void {
    this.items = [...this.items, ...page.items];
    this.#next = page.next;
    this.isComplete = page.is_complete;
    this.searchedTo = page.searched_to;
    this.indexedTo = page.indexed_to;
    this.lastCursor ??= page.last_cursor;
    this.changed();
  }

  #ask(limit: number): Promise<SearchPage> {
    const { words, filter, episode } = this.wanted;
    return get<SearchPage>("/search", { q: words, filter, episode, before: this.#next, limit }, this.#abort.signal);
  }
}
