/** The size of an element, in pixels. */

import { useLayoutEffect, useState } from "react";

/** See above; nothing before it is there. */
export function useSize(pane: { current: HTMLElement | null }): { width: number; height: number } {
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
