/** The skeleton of an episode, for as long as it is looked at. */

import { useEffect, useRef, useState } from "react";

import type { Episode } from "../../../api/schema";
import { Skeleton } from "./skeleton";

/** See above; null before the first look. */
export function useSkeleton(episode: Episode | null): Skeleton | null {
  const [skeleton, setSkeleton] = useState<Skeleton | null>(null);
  const { id, steps } = episode ?? { id: null, steps: 0 };
  const isRunning = episode?.status === "running";
  useEffect(() => {
    if (id === null) return;
    const opened = new Skeleton(id);
    setSkeleton(opened);
    return () => opened.close();
  }, [id]);
  useEffect(() => {
    if (skeleton !== null && steps !== skeleton.steps) skeleton.renew();
  }, [skeleton, steps]);
  const wasRunning = useRef(isRunning);
  useEffect(() => {
    if (wasRunning.current && !isRunning) skeleton?.reread();
    wasRunning.current = isRunning;
  }, [skeleton, isRunning]);
  return skeleton;
}
