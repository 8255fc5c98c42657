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
    if (log.length === 0) return;
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
  const move = (by: 1 | -1): void => {
    // With nothing chosen one begins with what is in sight.
    if (chosen === null) go(following.isFollowing ? log.length - 1 : (handle.current?.top() ?? 0));
    else go(here() + by);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    g: () => go(0),
    G: () => following.follow(),
    e: () => void error(1),
    E: () => void error(-1),
  });
}
