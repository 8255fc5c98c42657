/**
 * The waterfall: who did what when, and for how long. A canvas along the episode's clock, a lane for each agent
 * in its role. The table of steps says the same to who does not see it.
 */

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";

import { address } from "../../../api/client";
import { useColours } from "../../../parts/colours";
import { useKeys } from "../../../parts/keys";
import { useParameter } from "../../../parts/parameter";
import { Trouble } from "../../../parts/Trouble";
import { useBeat } from "../../../parts/useBeat";
import { count } from "../../../steps/figures";
import type { Following } from "../following";
import { useTellPace } from "../playhead_pace";
import { useStepKeys } from "../step_keys";
import type { StepsProperties } from "../StepTable";
import { type Bar, boardOf, busyIn, barWith, neighbourOf } from "./board";
import { Clock, idleBetween, panned, zoomed } from "./clock";
import { COLOURS, draw, GUTTER, type Picture } from "./draw";
import { type Hit, hitAt } from "./hit";
import { Sight } from "./Sight";
import { Told } from "./Told";
import { Tools } from "./Tools";
import { useDrag, useWheel } from "./usePointer";
import { useSize } from "./useSize";
import { useTimeline } from "./useTimeline";
import { useEnd, useView } from "./useView";
import "./waterfall.css";

const ZOOM = 1.4;
const PAN = 0.2;
const MARGIN = 1.015;
/** In the JSON twin. */
const BUCKETS = 500;
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
  const [idle, setSkipping] = useParameter("idle");
  const isSkipping = idle === "out";
  const now = useEnd(episode);
  const { answer, whole } = timeline ?? { answer: null, whole: null };
  const board = useMemo(() => (answer ? boardOf(answer, timeline?.lanes ?? []) : null), [answer, timeline?.lanes]);
  const gaps = useMemo(() => (whole && isSkipping ? idleBetween(busyIn(whole, now), now) : []), [whole, isSkipping, now]);
  const clock = useMemo(() => new Clock(gaps, now), [gaps, now]);
  const end = clock.shown(now) * MARGIN;
  const { view, isFitted, isPinned, setView } = useView(end, episode.status === "running");
  useTellPace(isFitted || isPinned);
  const plot = Math.max(1, size.width - GUTTER);

  const step = chosen === null ? undefined : log.step(log.placeOf(chosen));
  const own = step?.sequence === chosen ? step : undefined;
  useEffect(() => {
    if (chosen !== null && own === undefined && !log.isLoading) log.look(log.placeOf(chosen), log.placeOf(chosen) + 1);
  }, [log, log.isLoading, chosen, own]);
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

  const seen = useMemo(() => ({
    since: Math.round(episode.started_at + clock.real(view.from)),
    until: Math.round(episode.started_at + clock.real(view.to)),
  }), [clock, view, episode.started_at]);
  useEffect(() => timeline?.look({ ...seen, pixels: plot }), [timeline, seen, plot]);

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
    const first = clock.real(view.from);
    const next = found === null
      ? board?.bands.flatMap((band) => band.bars).find((bar) => bar.from >= first)
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
    // Over the names it scrolls.
    if (x < GUTTER) return;
    event.preventDefault();
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const nsToPixel = (view.to - view.from) / plot;
    if (isSideways) setView(panned(view, (event.deltaX || event.deltaY) * nsToPixel, end));
    else zoom(Math.exp(Math.max(-100, Math.min(100, event.deltaY)) * 0.004), view.from + (x - GUTTER) * nsToPixel);
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
  return (
    <div className="waterfall">
      <Tools
        isNotRenewed={Boolean(timeline?.error)}
        isSkipping={isSkipping}
        isFitted={isFitted}
        twin={address(`/episodes/${episode.id}/timeline`, { ...(isFitted ? {} : seen), buckets: BUCKETS })}
        onSkip={() => setSkipping(isSkipping ? null : "out")}
        onZoom={zoom}
        onFit={() => setView(null)}
      >
        {answer && <Sight answer={answer} isFiltered={isFiltered(log)} shown={isFitted ? null : seen.until - seen.since} gaps={gaps} />}
      </Tools>
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

function isFiltered(log: StepsProperties["log"]): boolean {
  return "filter" in log;
}

