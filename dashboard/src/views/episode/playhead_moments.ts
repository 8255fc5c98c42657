/** When each step of an episode was logged, as far as known: the way from a moment to a step, and back. */

import type { EpisodeStrip, OutlineNode } from "../../api/schema";

/** A step whose time is known; between two of them steps are taken to be evenly spread. */
export interface Knot {
  sequence: number;
  /** ns from the episode's beginning. */
  at: number;
}

/** See above. */
export class Moments {
  readonly #knots: Knot[] = [];

  constructor(knots: readonly Knot[]) {
    let latest = 0;
    for (const { sequence, at } of [...knots].sort((a, b) => a.sequence - b.sequence)) {
      // Clocks of several machines may disagree; a replay goes on only.
      latest = Math.max(latest, at);
      if (sequence !== this.#knots.at(-1)?.sequence) this.#knots.push({ sequence, at: latest });
    }
  }

  /** The moment of the last step. */
  get end(): number {
    return this.#knots.at(-1)?.at ?? 0;
  }

  /** Sequence of the last step. */
  get last(): number {
    return this.#knots.at(-1)?.sequence ?? 0;
  }

  /** The last step that was logged by a moment. */
  sequenceAt(at: number): number {
    const place = this.#placeOf((knot) => knot.at <= at);
    const [before, next] = [this.#knots[place], this.#knots[place + 1]];
    if (before === undefined) return this.#knots[0]?.sequence ?? 0;
    if (next === undefined) return before.sequence;
    const share = (at - before.at) / (next.at - before.at);
    return Math.min(next.sequence - 1, before.sequence + Math.floor(share * (next.sequence - before.sequence)));
  }

  /** When a step was logged. */
  momentOf(sequence: number): number {
    const place = this.#placeOf((knot) => knot.sequence <= sequence);
    const [before, next] = [this.#knots[place], this.#knots[place + 1]];
    if (before === undefined) return 0;
    if (next === undefined) return before.at;
    return before.at + ((sequence - before.sequence) / (next.sequence - before.sequence)) * (next.at - before.at);
  }

  /** The place of the last knot that is early enough; -1 where none is. */
  #placeOf(isEarly: (knot: Knot) => boolean): number {
    let low = 0;
    for (let high = this.#knots.length; low < high; ) {
      const middle = (low + high) >> 1;
      const knot = this.#knots[middle];
      if (knot !== undefined && isEarly(knot)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** From all steps of an episode. */
export function knotsOfNodes(nodes: readonly OutlineNode[], began: number): Knot[] {
  return nodes.flatMap(({ sequence, started_at, closing_sequence, ended_at }) => [
    { sequence, at: started_at - began },
    ...(closing_sequence === null || ended_at === null ? [] : [{ sequence: closing_sequence, at: ended_at - began }]),
  ]);
}

/** From an episode too long for that: the first step of each part of its time. */
export function knotsOfStrip({ buckets, width_ns, steps }: EpisodeStrip): Knot[] {
  const filled = buckets.flatMap(({ first, steps: held }, index) => (held > 0 ? [{ sequence: first, at: index * width_ns }] : []));
  return [...filled, { sequence: Math.max(0, steps - 1), at: buckets.length * width_ns }];
}
