/** The playhead: an episode seen again, from a step on, as it happened or within ten seconds. */

import { Beat } from "../../parts/beat";
import type { Moments } from "./playhead_moments";

/** How fast: all of it within ten seconds, or as it happened. */
export const SPEEDS = ["10s", "1x"] as const;

/** One of them; the word in the address. */
export type Speed = (typeof SPEEDS)[number];

const WHOLE_MS = 10_000;
/** What went by too fast to be seen goes by slower: each step is there for so long, as far as ten seconds allow. */
const STEP_MS = 60;
const TICK_MS = 80;

/** See above. */
export class Playhead extends Beat {
  speed: Speed = "10s";
  /** Where it is, ns from the episode's beginning; null while nothing is replayed. */
  moment: number | null = null;
  isPlaying = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #ticked = 0;

  constructor(
    readonly moments: Moments,
    /** It came to the end, or was paused, at a step. */
    readonly onRest: (sequence: number) => void,
  ) {
    super();
  }

  /** The step it is at. */
  get sequence(): number | null {
    return this.moment === null ? null : this.moments.sequenceAt(this.moment);
  }

  /** Stand at a step. */
  seek(sequence: number): void {
    this.#stop();
    this.moment = this.moments.momentOf(sequence);
    this.changed();
  }

  /** Go on from where it is. */
  play(): void {
    if (this.moment === null || this.sequence === this.moments.last) this.moment = 0;
    this.#stop();
    this.isPlaying = true;
    this.#ticked = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.changed();
  }

  /** Stay at the step it is at. */
  pause(): void {
    this.#stop();
    this.changed();
    if (this.sequence !== null) this.onRest(this.sequence);
  }

  close(): void {
    this.#stop();
    this.silence();
  }

  #tick(): void {
    const now = performance.now();
    const passed = now - this.#ticked;
    this.#ticked = now;
    const { end, last } = this.moments;
    const tookMs = Math.max(1, end / 1e6);
    const takesMs = this.speed === "1x" ? tookMs : Math.min(WHOLE_MS, Math.max(tookMs, last * STEP_MS));
    this.moment = Math.min(end, (this.moment ?? 0) + (passed * 1e6 * tookMs) / takesMs);
    if (this.moment >= end) this.pause();
    else this.changed();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.isPlaying = false;
  }
}
