/** The playhead of an episode view: what space and Esc do, and what of it stands in the address. */

import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { get } from "../../api/client";
import type { Episode, EpisodeStrip } from "../../api/schema";
import { useBeat } from "../../parts/useBeat";
import type { Skeleton } from "./outline/skeleton";
import { Playhead, type Speed, SPEEDS } from "./playhead";
import { knotsOfNodes, knotsOfStrip, Moments } from "./playhead_moments";

const PARTS = 1_000;
const NOTHING = new Playhead(new Moments([]), () => {});

/** A replay, and what can be done with it. */
export interface Replay {
  /** Null while nothing is replayed. */
  moment: number | null;
  sequence: number | null;
  end: number;
  isPlaying: boolean;
  speed: Speed;
  /** Begin, pause, or go on. */
  toggle(): void;
  choose(speed: Speed): void;
  /** No replay any more. */
  stop(): void;
}

interface Properties {
  episode: Episode;
  skeleton: Skeleton;
  chosen: number | null;
  /** The speed in the address; null while nothing is replayed. */
  wanted: string | null;
  change(changes: Record<string, string | null>): void;
}

/** See above. */
export function useReplay({ episode, skeleton, chosen, wanted, change }: Properties): Replay {
  const isOn = wanted !== null;
  const speed = SPEEDS.find((each) => each === wanted) ?? "10s";
  const moments = useMoments(episode, skeleton, isOn);
  const [playhead, setPlayhead] = useState<Playhead>(NOTHING);
  const startAt = useRef<number | null>(null);
  const rested = useRef(chosen);
  rested.current = isOn ? rested.current : chosen;

  useEffect(() => {
    if (moments === null) {
      setPlayhead(NOTHING);
      return;
    }
    const made = new Playhead(moments, (sequence) => {
      rested.current = sequence;
      change({ step: String(sequence) });
    });
    made.seek(startAt.current ?? rested.current ?? 0);
    if (startAt.current !== null) made.play();
    startAt.current = null;
    setPlayhead(made);
    return () => made.close();
  }, [moments, change]);
  useEffect(() => { playhead.speed = speed; }, [playhead, speed]);

  // Another step was chosen by hand: stay there.
  useEffect(() => {
    if (!isOn || chosen === rested.current) return;
    rested.current = chosen;
    if (chosen !== null) playhead.seek(chosen);
  }, [isOn, chosen, playhead]);

  const { moment, sequence, isPlaying } = useBeat(playhead);
  const toggle = useCallback(() => {
    if (!isOn) {
      const last = episode.steps - 1;
      startAt.current = chosen === null || chosen >= last ? 0 : chosen;
      change({ replay: speed });
    } else if (playhead.isPlaying) playhead.pause();
    else playhead.play();
  }, [isOn, playhead, episode.steps, chosen, speed, change]);
  return {
    moment: isOn ? moment : null,
    sequence: isOn ? sequence : null,
    end: playhead.moments.end,
    isPlaying,
    speed,
    toggle,
    choose: useCallback((next: Speed) => change({ replay: next }), [change]),
    stop: useCallback(() => change({ replay: null }), [change]),
  };
}

/** The times of the steps as they are when a replay begins. */
function useMoments({ id, started_at }: Episode, skeleton: Skeleton, isOn: boolean): Moments | null {
  useBeat(skeleton);
  const isLong = skeleton.isTruncated;
  const { data } = useQuery({
    queryKey: ["replay", id],
    queryFn: ({ signal }) => get<EpisodeStrip>(`/episodes/${id}/strip`, { buckets: PARTS }, signal),
    enabled: isOn && isLong,
    staleTime: Infinity,
    gcTime: 0,
  });
  const isReady = isOn && (isLong ? data !== undefined : skeleton.isWhole);
  return useMemo(() => {
    if (!isReady) return null;
    return new Moments(data && isLong ? knotsOfStrip(data) : knotsOfNodes(skeleton.nodes, started_at));
    // What is logged meanwhile is not part of it.
  }, [isReady, isLong, data, id]);
}
