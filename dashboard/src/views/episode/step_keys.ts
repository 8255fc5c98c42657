/** The keys of a list of steps. */

import type { ListHandle } from "../../parts/FixedList";
import { useKeys } from "../../parts/keys";
import type { Following } from "./following";
import type { StepLog } from "./step_log";

/** Obey them. */
export function useStepKeys(
  log: StepLog,
  chosen: number | null,
  choose: (sequence: number) => void,
  handle: { current: ListHandle | null },
  following: Following,
): void {
  const go = (place: number): void => {
    const at = Math.min(log.length - 1, Math.max(0, place));
    handle.current?.show(at);
    const step = log.step(at);
    choose(step?.sequence ?? at);
  };
  const here = (): number => (chosen === null ? -1 : log.placeOf(chosen));
  const error = async (by: 1 | -1): Promise<void> => {
    const found = await log.nextError(chosen === null ? (by === 1 ? -1 : log.length) : here(), by);
    if (found !== null) go(found);
  };
  useKeys({
    j: () => go(here() + 1),
    k: () => go(here() - 1),
    ArrowDown: () => go(here() + 1),
    ArrowUp: () => go(here() - 1),
    g: () => go(0),
    G: () => following.follow(),
    e: () => void error(1),
    E: () => void error(-1),
  });
}
