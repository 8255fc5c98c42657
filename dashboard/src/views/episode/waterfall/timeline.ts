/**
 * An episode along its clock: the whole of it, and where that is too coarse for what is looked at, the part.
 * One question at a time, and none more often than a tenth of the time that answers take.
 */

import { get } from "../../../api/client";
import { Beat } from "../../../parts/beat";
import { lanesOf, type TimelineAnswer } from "./board";

const RENEW_MS = 250;
const RENEW_MS_MAX = 30_000;
const LOOK_MS = 90;
const BUCKETS_MAX = 2_000;
/** A part may lack so much of what is looked at, for as long as a better one is awaited. */
const LACKING = 0.1;

/** What is looked at: ns since 1970 UTC, on so many pixels. */
export interface Sight {
  since: number;
  until: number;
  pixels: number;
}

/** See above. */
export class Timeline extends Beat {
  error: unknown = null;
  /** Every lane that was told, in the order in which they were. */
  lanes: readonly string[] = [];
  #whole: TimelineAnswer | null = null;
  #part: { of: Sight; answer: TimelineAnswer } | null = null;
  #sight: Sight | null = null;
  #isOld = true;
  #isAsking = false;
  /** Before this the whole is not asked for again. */
  #restsUntil = 0;
  /** When the next question is due. */
  #due = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort = new AbortController();

  constructor(readonly episode: string) {
    super();
    void this.#ask();
  }

  /** The whole. */
  get whole(): TimelineAnswer | null {
    return this.#whole;
  }

  /** The best answer there is for what is looked at. */
  get answer(): TimelineAnswer | null {
    const [sight, part] = [this.#sight, this.#part];
    if (sight === null || part === null || !this.#isCoarse) return this.#whole;
    const lacking = LACKING * (sight.until - sight.since);
    const covers = part.of.since <= sight.since + lacking && part.of.until >= sight.until - lacking;
    return covers ? part.answer : this.#whole;
  }

  /** Something was logged since the last answer. */
  renew(): void {
    this.#isOld = true;
    this.#askSoon(Math.max(RENEW_MS, this.#restsUntil - performance.now()));
  }

  /** This is looked at now. */
  look(sight: Sight): void {
    this.#sight = sight;
    if (this.#wanted() !== null) this.#askSoon(LOOK_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.silence();
  }

  get #isCoarse(): boolean {
    return this.#whole?.type === "buckets";
  }

  #askSoon(ms: number): void {
    const due = performance.now() + ms;
    if (this.#isAsking || due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => void this.#ask(), ms);
  }

  async #ask(): Promise<void> {
    this.#due = Infinity;
    this.#isAsking = true;
    try {
      if (this.#isOld && performance.now() >= this.#restsUntil) await this.#askWhole();
      const wanted = this.#wanted();
      if (wanted !== null) this.#part = { of: wanted, answer: await this.#question(wanted) };
      this.error = null;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.error = error;
    }
    this.#isAsking = false;
    this.changed();
    if (this.error === null && this.#wanted() !== null) this.#askSoon(LOOK_MS);
    if (this.error === null && this.#isOld) this.renew();
  }

  async #askWhole(): Promise<void> {
    this.#isOld = false;
    const began = performance.now();
    this.#whole = await this.#question({ since: 0, until: 0, pixels: 1_000 });
    const now = performance.now();
    this.#restsUntil = now + Math.min(RENEW_MS_MAX, 10 * (now - began));
    this.lanes = [...new Set([...this.lanes, ...lanesOf(this.#whole)])];
    // What ends after the whole did may hold more now.
    const end = this.#whole.type === "buckets" ? this.#whole.until - 2 * this.#whole.width_ns : 0;
    if (this.#part !== null && this.#part.of.until > end) this.#part = { ...this.#part, of: { ...this.#part.of, pixels: 0 } };
  }

  /** The part to ask for; null where what is there is fine enough. */
  #wanted(): Sight | null {
    const [sight, whole] = [this.#sight, this.#whole];
    if (sight === null || whole === null || whole.type === "exact") return null;
    const fine = (sight.until - sight.since) / sight.pixels;
    if (whole.width_ns <= 1.5 * fine) return null;
    const part = this.#part;
    const covers = part !== null && part.of.pixels > 0 && part.of.since <= sight.since && part.of.until >= sight.until;
    if (covers && (part.answer.type === "exact" || part.answer.width_ns <= 1.5 * fine)) return null;
    const wanted = around(sight);
    const isAnswered = part !== null && part.of.since === wanted.since && part.of.until === wanted.until && part.of.pixels === wanted.pixels;
    return isAnswered ? null : wanted;
  }

  #question({ since, until, pixels }: Sight): Promise<TimelineAnswer> {
    const part = until > 0 ? { since, until } : {};
    return get<TimelineAnswer>(`/episodes/${this.episode}/timeline`, { ...part, buckets: pixels }, this.#abort.signal);
  }
}

/** A part half as wide again as what is looked at; its ends are round, so that small moves ask for the same. */
export function around({ since, until, pixels }: Sight): Sight {
  const width = until - since;
  const grid = 2 ** Math.floor(Math.log2(width / 8));
  return {
    since: Math.max(0, Math.floor((since - width / 4) / grid) * grid),
    until: Math.ceil((until + width / 4) / grid) * grid,
    pixels: Math.min(BUCKETS_MAX, Math.ceil((pixels * 1.5) / 100) * 100),
  };
}
