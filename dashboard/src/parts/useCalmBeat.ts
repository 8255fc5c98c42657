/**
 * The way from what changes outside of React into a component that is costly to draw.
 *
 * A change is drawn at once, but after each drawing the page rests for as long as it took, so that a burst that
 * nobody could read leaves time for scrolling and pressing.
 */

import { useEffect, useReducer } from "react";
import { flushSync } from "react-dom";

import type { Beat } from "./beat";

/** Draw again when it changes; returns it. */
export function useCalmBeat<T extends Beat>(source: T): T {
  const [, again] = useReducer((times: number) => times + 1, 0);
  useEffect(() => {
    let restUntil = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let frame = 0;
    const draw = (): void => {
      const began = performance.now();
      flushSync(again);
      const now = performance.now();
      restUntil = now + (now - began);
    };
    const onBeat = (): void => {
      if (timer !== undefined) return;
      const wait = restUntil - performance.now();
      if (wait <= 0) draw();
      else {
        timer = setTimeout(() => {
          frame = requestAnimationFrame(() => {
            timer = undefined;
            draw();
          });
        }, wait);
      }
    };
    const silence = source.subscribe(onBeat);
    // What changed before anybody listened.
    again();
    return () => {
      silence();
      clearTimeout(timer);
      cancelAnimationFrame(frame);
    };
  }, [source]);
  return source;
}
