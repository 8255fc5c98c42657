/** Following: a live list stays at its end, until the person scrolls up; then it waits, and counts what is new. */

import { useCallback, useLayoutEffect, useRef, useState } from "react";

import type { ListHandle } from "../../parts/FixedList";
import { useTellPace } from "./playhead_pace";
import type { StepLog } from "./step_log";

/** What a list that follows shows and tells. */
export interface Following {
  isFollowing: boolean;
  /** Rows that came since it stopped, and errors among them. */
  newRows: number;
  newErrors: number;
  /** The list was scrolled, or moved by itself: whether its end is in sight. */
  onEnd(isAtEnd: boolean): void;
  /** Go to the end and stay there. */
  follow(): void;
  /** Stay here. */
  pause(): void;
}

/** Follow a log while its episode runs. */
export function useFollowing(log: StepLog, isRunning: boolean, handle: { current: ListHandle | null }): Following {
  const [isFollowing, setFollowing] = useState(isRunning);
  useTellPace(isFollowing);
  const seen = useRef({ length: 0, errors: 0 });
  const { length, newErrors } = log;
  if (isFollowing || log.isLoading || !isRunning) seen.current = { length, errors: newErrors };

  useLayoutEffect(() => {
    if (isFollowing && length > 0) handle.current?.show(length - 1, "end");
  }, [isFollowing, length, handle]);

  const onEnd = useCallback((isAtEnd: boolean) => setFollowing((before) => (isRunning ? isAtEnd : before && isAtEnd)), [isRunning]);
  const follow = useCallback(() => {
    setFollowing(true);
    handle.current?.show(log.length - 1, "end");
  }, [handle, log]);
  const pause = useCallback(() => setFollowing(false), []);
  return {
    isFollowing,
    newRows: length - seen.current.length,
    newErrors: newErrors - seen.current.errors,
    onEnd,
    follow,
    pause,
  };
}
