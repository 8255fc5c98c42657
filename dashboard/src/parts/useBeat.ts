/** The way from what changes outside of React into a component. */

import { useSyncExternalStore } from "react";

import type { Beat } from "./beat";

/** Draw again when it changes; returns it. */
export function useBeat<T extends Beat>(source: T): T {
  useSyncExternalStore(source.subscribe, source.version);
  return source;
}
