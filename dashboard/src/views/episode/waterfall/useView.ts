/** What of an episode is seen: all of it, or a part, which stands in the address. */

import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import type { Episode } from "../../../api/schema";
import { useParameter } from "../../../parts/parameter";
import type { Stretch } from "./clock";

const GROW_MS = 100;
const REST_MS = 400;

/** A view, in shown time. */
export interface View {
  view: Stretch;
  isFitted: boolean;
  /** It goes on with the end. */
  isPinned: boolean;
  setView(view: Stretch | null): void;
}

/** The episode's end, ns from its beginning; while it runs it grows. */
export function useEnd({ started_at, ended_at, last_at, status }: Episode): number {
  const [now, setNow] = useState(() => Date.now() * 1e6);
  const isRunning = status === "running";
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => {
      if (!document.hidden) setNow(Date.now() * 1e6);
    }, GROW_MS);
    return () => clearInterval(timer);
  }, [isRunning]);
  return Math.max(1e6, last_at - started_at, (isRunning ? now : (ended_at ?? last_at)) - started_at);
}

/** What is seen of an episode that has an end so far; a part at the end goes on with it. */
export function useView(end: number, isRunning: boolean): View {
  const [kept, keep] = useParameter("view");
  const [part, setPart] = useState<Stretch | null>(() => parsed(kept));
  const [isPinned, setPinned] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const setView = useCallback((view: Stretch | null) => {
    const next = view === null || view.to - view.from >= end * 0.999 ? null : view;
    setPart(next);
    setPinned(isRunning && next !== null && next.to >= end * 0.998);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => keep(next === null ? null : `${inMs(next.from)}-${inMs(next.to)}`), REST_MS);
  }, [end, isRunning, keep]);
  const from = part === null ? 0 : isPinned ? end - (part.to - part.from) : part.from;
  const to = part === null || isPinned ? end : part.to;
  const view = useMemo(() => ({ from, to }), [from, to]);
  return { view, isFitted: part === null, isPinned, setView };
}

function parsed(kept: string | null): Stretch | null {
  const [, from, to] = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(kept ?? "") ?? [];
  return from !== undefined && to !== undefined && Number(to) > Number(from) ? { from: Number(from) * 1e6, to: Number(to) * 1e6 } : null;
}

function inMs(ns: number): string {
  return String(Number((ns / 1e6).toFixed(3)));
}
