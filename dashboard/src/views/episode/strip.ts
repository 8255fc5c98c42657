/** An episode as a strip of equal parts of its time, whichever way the server told of it. */

import type { BucketTimeline, ExactTimeline } from "../../api/schema";

/** Parts of a strip. */
export const BUCKETS = 240;

/** One part: how many steps, how many failed, and the first of them. */
export interface StripBucket {
  index: number;
  steps: number;
  errors: number;
  first: number | null;
}

/** All parts of an episode's time. Times are ns since 1970 UTC. */
export interface Strip {
  since: number;
  until: number;
  width_ns: number;
  buckets: StripBucket[];
}

/** Gather what comes bar by bar; what comes gathered is taken as it is. */
export function stripOf(told: BucketTimeline | ExactTimeline): Strip {
  const buckets = Array.from({ length: BUCKETS }, (_, index): StripBucket => ({ index, steps: 0, errors: 0, first: null }));
  if (told.type === "buckets") {
    for (const { index, steps, errors, first } of told.buckets) buckets[index] = { index, steps, errors, first };
    return { since: told.since, until: told.until, width_ns: told.width_ns, buckets };
  }
  const { episode, spans, instants } = told.timeline;
  const since = episode.started_at;
  const until = Math.max(episode.ended_at ?? 0, episode.last_at, since + 1);
  const width_ns = (until - since) / BUCKETS;
  const note = (at: number, sequence: number, isError: boolean): void => {
    const bucket = buckets[Math.min(BUCKETS - 1, Math.max(0, Math.floor((at - since) / width_ns)))];
    if (bucket === undefined) return;
    bucket.steps += 1;
    bucket.errors += Number(isError);
    bucket.first = Math.min(bucket.first ?? sequence, sequence);
  };
  for (const span of spans) {
    note(span.started_at, span.sequence, false);
    // What closes a call is a step of its own; a call that failed shows where it failed.
    if (span.ended_at !== null && span.closing_id !== null) note(span.ended_at, span.sequence, span.status === "error");
  }
  for (const instant of instants) note(instant.at, instant.sequence, instant.kind === "error_report");
  return { since, until, width_ns, buckets };
}
