/** A step with the other half of what takes time: a call, and what closed it. Pure. */

import type { SpanStatus, Step, StepContext } from "../../../api/schema";

/** The two halves; of a step that neither opens nor closes only `alone`. */
export interface Pair {
  alone: Step | null;
  opener: Step | null;
  closer: Step | null;
  /** The half that was not chosen. */
  partner: Step | null;
  status: SpanStatus | null;
  /** From opening to closing, in ns; null while it is open. */
  took: number | null;
}

/** Whether a step of this kind takes time. */
export function opens(step: Step): boolean {
  return step.kind === "tool_call" || step.kind === "model_call";
}

/** How something that was opened stands. */
export function statusOf(closer: Step | null, isRunning: boolean): SpanStatus {
  if (closer === null) return isRunning ? "running" : "cut_off";
  if (closer.kind === "error_report") return "error";
  return "cancelled" in closer.payload && closer.payload.cancelled === true ? "cancelled" : "ok";
}

/** Both halves of a step. */
export function pairOf({ step, opener: opened, closer: closed }: StepContext, isRunning: boolean): Pair {
  const opener = opened ?? (opens(step) || closed !== null ? step : null);
  if (opener === null) return { alone: step, opener: null, closer: null, partner: null, status: null, took: null };
  const closer = opened === null ? closed : step;
  return {
    alone: null,
    opener,
    closer,
    partner: opened ?? closed,
    status: statusOf(closer, isRunning),
    took: closer === null ? null : closer.occurred_at - opener.occurred_at,
  };
}
