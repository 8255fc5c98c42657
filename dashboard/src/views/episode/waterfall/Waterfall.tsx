/**
 * The waterfall: who did what when, and for how long. A canvas along the episode's clock, a lane for each agent
 * in its role. The table of steps says the same to who does not see it.
 */

import { type MouseEvent, type PointerEvent, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "wouter";

import { address } from "../../../api/client";
import type { Episode } from "../../../api/schema";
import { useColours } from "../../../parts/colours";
import { useKeys } from "../../../parts/keys";
import { Trouble } from "../../../parts/Trouble";
import { useBeat } from "../../../parts/useBeat";
import { count, duration } from "../../../steps/figures";
import type { Following } from "../following";
import { useTellPace } from "../playhead_pace";
import { useStepKeys } from "../step_keys";
import type { StepsProperties } from "../StepTable";
import { type Bar, boardOf, busyIn, barWith, neighbourOf } from "./board";
import { Clock, idleBetween, panned, type Stretch, zoomed } from "./clock";
import { COLOURS, draw, GUTTER, type Picture } from "./draw";
import { type Hit, hitAt } from "./hit";
import { Timeline } from "./timeline";
import { Told } from "./Told";
import "./waterfall.css";

const GROW_MS = 100;
const RENEW_MS = 2_000;
const ZOOM = 1.4;
const PAN = 0.2;
/** A press that moves less than this is no drag. */
const DRAG_MIN = 4;
const REST_MS = 400;
const MARGIN = 1.015;
const NO_LIST = { current: null };

interface Properties extends StepsProperties {
  /** The moment of the playhead; ns from the episode's beginning. */
  moment: number | null;
}

/** See above. */
export default function Waterfall({ log, episode, chosen, moment, onChoose }: Properties) {
  useBeat(log);
  const timeline = useTimeline(episode, log.length);
  const pane = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(pane);
  const colours = useColours(pane, COLOURS);
  const [scrolled, setScrolled] = useState(0);
  const [under, setUnder] = useState<{ hit: Hit; x: number; y: number } | null>(null);
  const [isSkipping, setSkipping] = useParameter("idle");
  const now = useEnd(episode);
  const { answer, whole } = timeline ?? { answer: null, whole: null };
  const board = useMemo(() => (answer ? boardOf(answer, timeline?.lanes ?? []) : null), [answer, timeline?.lanes]);
  const gaps = useMemo(() => (whole && isSkipping === "out" ? idleBetween(busyIn(whole, now), now) : []), [whole, isSkipping, now]);
  const clock = useMemo(() => new Clock(gaps, now), [gaps, now]);
  const end = clock.shown(now) * MARGIN;
  const { view, isFitted, isPinned, setView } = useView(end, episode.status === "running");
  useTellPace(isFitted || isPinned);
  const plot = Math.max(1, size.width - GUTTER);

  const step = chosen === null ? undefined : log.step(log.placeOf(chosen));
  const own = step?.sequence === chosen ? step : undefined;
  const found = chosen === null || board === null ? null : barWith(board, chosen, own?.id, own?.closes);
  const isAside = useCallback((bar: Bar) => {
    if (!isFiltered(log)) return false;
    const at = log.step(log.placeOf(bar.sequence));
    return at?.sequence !== bar.sequence;
    // The rows of a filter come one after another.
  }, [log, log.length]);

  const picture = useMemo<Picture | null>(() => {
    if (board === null || colours === null || size.width === 0) return null;
    return {
      board, clock, view, now, scrolled, moment, isAside, colours, ...size,
      isRunning: episode.status === "running",
      chosen: found?.bar ?? null,
    };
  }, [board, clock, view, now, scrolled, moment, isAside, colours, size, episode.status, found?.bar]);
  useLayoutEffect(() => {
    if (canvas.current !== null && picture !== null) draw(canvas.current, picture);
  }, [picture]);

  useEffect(() => {
    const began = episode.started_at;
    const [since, until] = [clock.real(view.from), clock.real(view.to)];
    timeline?.look({ since: Math.round(began + since), until: Math.round(began + until), pixels: plot });
  }, [timeline, clock, view, plot, episode.started_at]);

  // What is chosen, or replayed, is brought into sight.
  const [target, targetEnd] = moment !== null ? [moment, moment] : [found?.bar.from ?? null, found?.bar.to ?? now];
  useEffect(() => {
    if (target === null || isFitted) return;
    const [from, to] = [clock.shown(target), clock.shown(targetEnd)];
    if (to < view.from || from > view.to) setView(panned(view, from - (view.from + view.to) / 2, end));
    // Only when another one is chosen.
  }, [target]);
  useEffect(() => {
    const { current } = pane;
    if (current === null || found === null) return;
    const { top, height } = found.band;
    if (top < current.scrollTop || top + height > current.scrollTop + size.height - 24) current.scrollTop = top - 40;
  }, [found?.bar.sequence]);

  const zoom = useCallback((factor: number, around?: number) =>
    setView(zoomed(view, around ?? (view.from + view.to) / 2, factor, end)), [view, end, setView]);
  const pan = (share: number): void => setView(panned(view, share * (view.to - view.from), end));
  const beside = (by: 1 | -1): void => {
    const seen = clock.real(view.from);
    const next = found === null
      ? board?.bands.flatMap((band) => band.bars).find((bar) => bar.from >= seen)
      : neighbourOf(found.band, found.bar, by);
    if (next !== undefined) onChoose(next.sequence);
  };
  const following: Following = {
    isFollowing: isFitted, newRows: 0, newErrors: 0, onEnd() {}, pause() {}, follow: () => setView(null),
  };
  useStepKeys(log, chosen, onChoose, NO_LIST, following);
  useKeys({
    w: () => zoom(1 / ZOOM),
    s: () => zoom(ZOOM),
    a: () => pan(-PAN),
    d: () => pan(PAN),
    "0": () => setView(null),
    ".": () => beside(1),
    ",": () => beside(-1),
  });
  useWheel(pane, useCallback((event: WheelEvent) => {
    const x = event.clientX - (pane.current?.getBoundingClientRect().left ?? 0);
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const nsToPixel = (view.to - view.from) / plot;
    if (isSideways) setView(panned(view, (event.deltaX || event.deltaY) * nsToPixel, end));
    else zoom(Math.exp(Math.max(-100, Math.min(100, event.deltaY)) * 0.004), view.from + Math.max(0, x - GUTTER) * nsToPixel);
  }, [view, plot, end, zoom, setView]));

  const drag = useDrag({
    onMove(x, y) {
      setView(panned(view, (-x * (view.to - view.from)) / plot, end));
      if (pane.current !== null) pane.current.scrollTop -= y;
    },
    onPress(hit) {
      if (hit?.bar) onChoose(hit.bar.sequence);
      else if (hit?.cell) zoom(0.25, clock.shown((hit.cell.from + hit.cell.to) / 2));
    },
    hit: (x, y) => (picture === null ? null : hitAt(picture, x, y)),
    onHover: setUnder,
  });

  if (timeline?.error && whole === null) return <Trouble error={timeline.error} onRetry={() => timeline.renew()} />;
  const since = Math.round(episode.started_at + clock.real(view.from));
  const until = Math.round(episode.started_at + clock.real(view.to));
  const part = isFitted ? {} : { since, until };
  return (
    <div className="waterfall">
      <div className="waterfall-tools">
        <span className="figure faint waterfall-told" role="status">
          {answer && <Sight answer={answer} isFiltered={isFiltered(log)} shown={isFitted ? null : clock.real(view.to) - clock.real(view.from)} gaps={gaps} />}
        </span>
        {timeline?.error ? <span className="chip bad">not renewed</span> : null}
        <button className="plain" aria-pressed={isSkipping === "out"} onClick={() => setSkipping(isSkipping === "out" ? null : "out")}>
          Leave idle out
        </button>
        <button className="plain" aria-label="Zoom out" title="Zoom out (s)" onClick={() => zoom(ZOOM)}>−</button>
        <button className="plain" aria-label="Zoom in" title="Zoom in (w)" onClick={() => zoom(1 / ZOOM)}>+</button>
        <button className="plain" disabled={isFitted} title="The whole episode (0)" onClick={() => setView(null)}>Fit</button>
        <a className="faint" href={address(`/episodes/${episode.id}/timeline`, { ...part, buckets: 500 })}>JSON</a>
      </div>
      <div className="waterfall-pane" ref={pane} tabIndex={0} role="group" aria-label="Lanes" onScroll={(event) => setScrolled(event.currentTarget.scrollTop)}>
        <div className="waterfall-spread" style={{ height: Math.max(size.height, (board?.height ?? 0) + 24) }}>
          <canvas
            ref={canvas}
            role="img"
            aria-label={`Waterfall of ${count(episode.steps)} steps in ${board?.bands.length ?? 0} lanes. The table, key 2, says the same in words.`}
            style={{ width: size.width, height: size.height, cursor: under?.hit.bar || under?.hit.cell ? "pointer" : "grab" }}
            {...drag}
          />
        </div>
      </div>
      {under && (under.hit.bar || under.hit.cell) && <Told {...under} began={episode.started_at} now={now} width={size.width} />}
    </div>
  );
}

interface SightProperties {
  answer: NonNullable<Timeline["answer"]>;
  isFiltered: boolean;
  shown: number | null;
  gaps: readonly Stretch[];
}

/** What is drawn, and what is not. */
function Sight({ answer, isFiltered: filtered, shown, gaps }: SightProperties) {
  const idle = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
  const parts = [
    shown === null ? "the whole episode" : `${duration(shown)} of it`,
    answer.type === "exact" ? "step by step" : `density, ${duration(answer.width_ns)} a column: zoom in for single steps`,
    gaps.length > 0 ? `${gaps.length} idle ${gaps.length === 1 ? "gap" : "gaps"} left out (${duration(idle)})` : null,
    filtered ? (answer.type === "exact" ? "what does not pass the filter is pale" : "the filter does not narrow densities") : null,
  ];
  return <>{parts.filter(Boolean).join(" · ")}</>;
}

function isFiltered(log: StepsProperties["log"]): boolean {
  return "filter" in log;
}

function useTimeline({ id, status, steps }: Episode, length: number): Timeline | null {
  const [timeline, setTimeline] = useState<Timeline | null>(null);
  useEffect(() => {
    const opened = new Timeline(id);
    setTimeline(opened);
    return () => opened.close();
  }, [id]);
  const isRunning = status === "running";
  const wasRunning = useRef(isRunning);
  useEffect(() => {
    if (isRunning || wasRunning.current) timeline?.renew();
    wasRunning.current = isRunning;
  }, [timeline, steps, length, isRunning]);
  useEffect(() => {
    if (!isRunning) return;
    // The rows of a filter do not tell of the others.
    const timer = setInterval(() => timeline?.renew(), RENEW_MS);
    return () => clearInterval(timer);
  }, [timeline, isRunning]);
  const [, setVersion] = useState(0);
  useEffect(() => timeline?.subscribe(() => setVersion(timeline.version())), [timeline]);
  return timeline;
}

/** The episode's end, ns from its beginning; while it runs it grows. */
function useEnd({ started_at, ended_at, last_at, status }: Episode): number {
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

/** What is seen: all of it, or a part, which is kept in the address; one at the end goes on with it. */
function useView(end: number, isRunning: boolean): { view: Stretch; isFitted: boolean; isPinned: boolean; setView(view: Stretch | null): void } {
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

function useParameter(name: string): [string | null, (value: string | null) => void] {
  const [search, setSearch] = useSearchParams();
  const set = useCallback((value: string | null) => setSearch((before) => {
    const after = new URLSearchParams(before);
    if (value === null) after.delete(name);
    else after.set(name, value);
    return after;
  }, { replace: true }), [name, setSearch]);
  return [search.get(name), set];
}

function useSize(pane: { current: HTMLElement | null }): { width: number; height: number } {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const { current } = pane;
    if (current === null) return;
    const observer = new ResizeObserver(() => setSize({ width: current.clientWidth, height: current.clientHeight }));
    observer.observe(current);
    return () => observer.disconnect();
  }, [pane]);
  return size;
}

/** React's own listeners for wheels cannot keep the page from scrolling. */
function useWheel(pane: { current: HTMLElement | null }, onWheel: (event: WheelEvent) => void): void {
  useEffect(() => {
    const { current } = pane;
    if (current === null) return;
    const turn = (event: WheelEvent): void => {
      event.preventDefault();
      onWheel(event);
    };
    current.addEventListener("wheel", turn, { passive: false });
    return () => current.removeEventListener("wheel", turn);
  }, [pane, onWheel]);
}

interface DragProperties {
  onMove(x: number, y: number): void;
  onPress(hit: Hit | null): void;
  hit(x: number, y: number): Hit | null;
  onHover(under: { hit: Hit; x: number; y: number } | null): void;
}

function useDrag({ onMove, onPress, hit, onHover }: DragProperties) {
  const held = useRef<{ x: number; y: number; isDrag: boolean } | null>(null);
  const at = (event: PointerEvent | MouseEvent): [number, number] => {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  return {
    onPointerDown(event: PointerEvent): void {
      if (event.button !== 0) return;
      const [x, y] = at(event);
      held.current = { x, y, isDrag: false };
      event.currentTarget.setPointerCapture(event.pointerId);
    },
    onPointerMove(event: PointerEvent): void {
      const [x, y] = at(event);
      const { current } = held;
      if (current === null) {
        const found = hit(x, y);
        onHover(found === null ? null : { hit: found, x, y });
        return;
      }
      if (!current.isDrag && Math.hypot(x - current.x, y - current.y) < DRAG_MIN) return;
      onHover(null);
      onMove(x - current.x, y - current.y);
      held.current = { x, y, isDrag: true };
    },
    onPointerUp(event: PointerEvent): void {
      const { current } = held;
      held.current = null;
      if (current !== null && !current.isDrag) onPress(hit(...at(event)));
    },
    onPointerCancel(): void {
      held.current = null;
    },
    onPointerLeave(): void {
      onHover(null);
    },
  };
}
