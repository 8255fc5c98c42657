/** What wheel and pointer do over a waterfall. */

import { type MouseEvent, type PointerEvent, useEffect, useRef } from "react";

import type { Hit } from "./hit";

/** A press that moves less than this is no drag. */
const DRAG_MIN = 4;

/** React's own listeners for wheels cannot keep the page from scrolling. */
export function useWheel(pane: { current: HTMLElement | null }, onWheel: (event: WheelEvent) => void): void {
  useEffect(() => {
    const { current } = pane;
    if (current === null) return;
    current.addEventListener("wheel", onWheel, { passive: false });
    return () => current.removeEventListener("wheel", onWheel);
  }, [pane, onWheel]);
}

/** What is done about it. */
export interface DragProperties {
  onMove(x: number, y: number): void;
  onPress(hit: Hit | null): void;
  hit(x: number, y: number): Hit | null;
  onHover(under: { hit: Hit; x: number; y: number } | null): void;
}

/** The listeners of what is dragged, pressed and pointed at. */
export function useDrag({ onMove, onPress, hit, onHover }: DragProperties) {
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
