/** The timeline of an episode, for as long as it is looked at; renewed while it runs. */

import { useEffect, useRef, useState } from "react";

import type { Episode } from "../../../api/schema";
import { Timeline } from "./timeline";

const RENEW_MS = 2_000;

/** See above; `length` is that of a list of its steps, which grows with them. Null before the first look. */
export function useTimeline({ id, status, steps }: Episode, length: number): Timeline | null {
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
