/** The whole episode in a strip: how much happened when, and where it failed; a press goes there. */

import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, type MouseEvent, useEffect, useRef, useState } from "react";

import { get } from "../../api/client";
import type { Episode, EpisodeStrip, StripBucket } from "../../api/schema";
import { coloursOf, useThemeCount } from "../../parts/colours";
import { count, duration } from "../../steps/figures";

const BUCKETS = 240;
const RENEW_MS = 2_000;
const HEIGHT = 34;

interface Properties {
  episode: Episode;
  chosen: number | null;
  onChoose(sequence: number | null): void;
}

/** See above. */
export function Minimap({ episode, chosen, onChoose }: Properties) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const theme = useThemeCount();
  const [at, setAt] = useState<number | null>(null);
  const { data } = useQuery({
    queryKey: ["minimap", episode.id],
    queryFn: ({ signal }) =>
      get<EpisodeStrip>(`/episodes/${episode.id}/strip`, { buckets: BUCKETS }, signal),
    placeholderData: (before) => before,
    refetchInterval: episode.status === "running" ? RENEW_MS : false,
  });

  useEffect(() => {
    const { current } = canvas;
    if (current === null) return;
    const observer = new ResizeObserver(() => setWidth(current.clientWidth));
    observer.observe(current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const { current } = canvas;
    if (current === null || data === undefined || width === 0) return;
    draw(current, width, data, chosen);
  }, [data, width, chosen, theme]);

  const placeOf = (event: MouseEvent): number => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.floor(((event.clientX - box.left) / box.width) * BUCKETS);
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0 || !data) return;
    event.preventDefault();
    event.stopPropagation();
    const filled = data.buckets.filter((bucket) => bucket.steps > 0);
    const here = filled.findLastIndex((bucket) => bucket.first <= (chosen ?? 0));
    const next = filled[Math.min(filled.length - 1, Math.max(0, here + by))];
    if (next !== undefined) onChoose(next.first);
  };
  const under: StripBucket | undefined = at === null ? undefined : data?.buckets[at];
  const told = data ? `${count(data.steps)} steps in ${duration(data.width_ns * BUCKETS)}` : "";
  return (
    <div className="minimap">
      <canvas
        ref={canvas}
        role="slider"
        tabIndex={0}
        aria-label="Place in the episode"
        aria-valuemin={0}
        aria-valuemax={Math.max(0, episode.steps - 1)}
        aria-valuenow={chosen ?? 0}
        aria-valuetext={chosen === null ? told : `step ${chosen} of ${episode.steps}`}
        height={HEIGHT}
        onClick={(event) => {
          const bucket = data?.buckets[placeOf(event)];
          if (bucket !== undefined) onChoose(Math.min(bucket.first, Math.max(0, episode.steps - 1)));
        }}
        onMouseMove={(event) => setAt(placeOf(event))}
        onMouseLeave={() => setAt(null)}
        onKeyDown={onKey}
        title={
          under && at !== null && data
            ? `${duration(at * data.width_ns)} in: ${count(under.steps)} steps, ${count(under.errors)} errors`
            : told
        }
      />
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, width: number, { buckets }: EpisodeStrip, chosen: number | null): void {
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(scale, scale);
  const colours = coloursOf(canvas, ["ink-faint", "bad", "accent"]);
  const each = width / BUCKETS;
  const most = Math.max(1, ...buckets.map((bucket) => bucket.steps));
  context.fillStyle = colours["ink-faint"];
  buckets.forEach((bucket, place) => {
    if (bucket.steps === 0) return;
    // A root keeps what is rare in sight beside what is frequent.
    const height = Math.max(2, Math.sqrt(bucket.steps / most) * (HEIGHT - 10));
    context.fillRect(place * each, HEIGHT - height, Math.max(1, each - 0.75), height);
  });
  context.fillStyle = colours.bad;
  buckets.forEach((bucket, place) => {
    if (bucket.errors > 0) context.fillRect(place * each, 0, Math.max(2, each), 7);
  });
  const here = chosen === null ? -1 : buckets.findLastIndex((bucket) => bucket.steps > 0 && bucket.first <= chosen);
  if (here >= 0) {
    context.fillStyle = colours.accent;
    context.fillRect((here + 0.5) * each - 1, 0, 2, HEIGHT);
  }
}
