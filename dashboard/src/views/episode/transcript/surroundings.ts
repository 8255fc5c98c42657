/**
 * What a step's neighbours say of it: what closed it, what it is nested under, and whether somebody else speaks.
 *
 * Looks only at steps that are here, remembers what it found, and never looks at a row twice for the same call.
 */

import type { Step } from "../../../api/schema";
import { opens } from "../details/pair";

/** How far on a call's end is looked for, and how far back what a step hangs together with. */
const AHEAD_MAX = 5_000;
const BACK_MAX = 200;
const DEPTH_MAX = 4;

/** The part of a log that is looked at. */
interface Rows {
  readonly length: number;
  step(place: number): Step | undefined;
}

/** See above. */
export class Surroundings {
  #closers = new Map<string, Step>();
  #lookedUntil = new Map<string, number>();
  #depths = new Map<string, number>();

  constructor(readonly rows: Rows) {}

  /** What closed a call: null where nothing has yet, undefined where that cannot be said from what is here. */
  closerOf(call: Step, place: number): Step | null | undefined {
    const known = this.#closers.get(call.id);
    if (known !== undefined) return known;
    let at = this.#lookedUntil.get(call.id) ?? place + 1;
    const until = Math.min(this.rows.length, place + AHEAD_MAX);
    for (; at < until; at += 1) {
      const step = this.rows.step(at);
      if (step === undefined) break;
      if (step.closes === call.id) {
        this.#closers.set(call.id, step);
        this.#lookedUntil.delete(call.id);
        return step;
      }
    }
    this.#lookedUntil.set(call.id, at);
    return at === this.rows.length ? null : undefined;
  }

  /** The place of what a step closes or is under, where that is near. */
  nearPlaceOf(id: string, place: number): number | null {
    for (let at = place - 1; at >= Math.max(0, place - BACK_MAX); at -= 1) {
      const step = this.rows.step(at);
      if (step === undefined) return null;
      if (step.id === id) return at;
    }
    return null;
  }

  /** How deep a step is nested. */
  depthOf(step: Step, place: number): number {
    if (step.parent_id === null) return 0;
    const known = this.#depths.get(step.id);
    if (known !== undefined) return known;
    const above = this.nearPlaceOf(step.parent_id, place);
    const parent = above === null ? undefined : this.rows.step(above);
    const depth = parent === undefined || above === null ? 1 : Math.min(DEPTH_MAX, this.depthOf(parent, above) + 1);
    this.#depths.set(step.id, depth);
    return depth;
  }

  /** Whether a step answers the call right before it, so that it needs no head of its own. */
  isAnswerTo(step: Step, place: number): boolean {
    const before = this.rows.step(place - 1);
    return step.closes !== null && before !== undefined && before.id === step.closes && opens(before);
  }

  /** Who speaks from here on: a turn of its own, or only a word where the roles change with every step. */
  speakerOf(step: Step, place: number): { name: string; isTurn: boolean } | null {
    const name = speaker(step);
    const before = this.rows.step(place - 1);
    if (name === null || before === undefined || speaker(before) === name) return place === 0 && name !== null ? { name, isTurn: true } : null;
    const earlier = this.rows.step(place - 2);
    return { name, isTurn: earlier === undefined || speaker(earlier) === speaker(before) };
  }
}

function speaker({ role, agent }: Step): string | null {
  return role ?? agent;
}
