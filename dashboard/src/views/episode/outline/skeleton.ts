/** The steps of an episode without what they hold: read in the background, and again at the end while it runs. */

import { get } from "../../../api/client";
import type { OutlineNode, OutlinePage } from "../../../api/schema";
import { Beat } from "../../../parts/beat";

/** More is not read. */
export const NODES_MAX = 20_000;
const PAGE = 2_000;
const RENEW_MS = 500;
/** Among so many of the last nodes those that were open are looked at again. */
const LOOKED_BACK = 300;

/** See above. */
export class Skeleton extends Beat {
  /** In the order of their sequence; a new array whenever one of them changed. */
  nodes: readonly OutlineNode[] = [];
  /** How many steps the episode has. */
  steps = 0;
  /** Whether all there was is here. */
  isWhole = false;
  /** Whether there is more than is read. */
  isTruncated = false;
  error: unknown = null;
  #isReading = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort = new AbortController();

  constructor(readonly episode: string) {
    super();
    void this.#read(-1);
  }

  /** Something was logged: read what is new, and what was open. */
  renew(): void {
    if (this.isTruncated) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#isReading) this.renew();
      else void this.#read(this.#open());
    }, RENEW_MS);
  }

  /** It ended: whatever was open is not any more. */
  reread(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isReading) this.renew();
    else void this.#read(-1);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.silence();
  }

  #open(): number {
    const open = this.nodes.slice(-LOOKED_BACK).find((node) => node.status === "running");
    return (open?.sequence ?? (this.nodes.at(-1)?.sequence ?? -1) + 1) - 1;
  }

  async #read(after: number): Promise<void> {
    this.#isReading = true;
    try {
      for (let from: number | null = after; from !== null; ) {
        const page: OutlinePage = await get<OutlinePage>(`/episodes/${this.episode}/tree`, { after: from, limit: PAGE }, this.#abort.signal);
        this.#put(page.items, from);
        this.steps = page.steps;
        from = page.next;
        this.isTruncated = from !== null && this.nodes.length >= NODES_MAX;
        if (this.isTruncated) from = null;
        this.isWhole = from === null;
        this.changed();
      }
      this.error = null;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error;
      this.changed();
    }
    this.#isReading = false;
  }

  /** What stands behind a sequence is replaced as far as it is known now. */
  #put(items: readonly OutlineNode[], after: number): void {
    const end = items.at(-1)?.sequence ?? after;
    this.nodes = [
      ...this.nodes.filter((node) => node.sequence <= after),
      ...items,
      ...this.nodes.filter((node) => node.sequence > end),
    ];
  }
}
