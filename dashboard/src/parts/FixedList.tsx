/**
 * A list of rows of one height, of any length: only what is in sight is there.
 *
 * A browser cannot make an element of more than about 17 million pixels, so that a long list is scrolled through
 * a shorter one: the place of the scroll bar then says which row is on top, and what is in sight is moved to it.
 */

import { type ReactNode, type Ref, useCallback, useImperativeHandle, useLayoutEffect, useRef, useState } from "react";

const HEIGHT_MAX = 12_000_000;
const BEYOND = 12;

/** What a list can be told. */
export interface ListHandle {
  /** Bring a row into sight; `"start"` puts it on top. */
  show(index: number, where?: "start" | "nearest" | "end"): void;
  /** The first row that begins in sight. */
  top(): number;
}

interface Properties {
  length: number;
  rowHeight: number;
  label: string;
  /** Draw a row; it stands where its parent puts it. */
  row(index: number): ReactNode;
  onRange?(first: number, last: number): void;
  /** The person scrolled: whether the end is in sight. */
  onEnd?(isAtEnd: boolean): void;
  handle?: Ref<ListHandle>;
  className?: string;
}

/** See above. */
export function FixedList({ length, rowHeight, label, row, onRange, onEnd, handle, className }: Properties) {
  const pane = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const whole = length * rowHeight;
  const spread = Math.min(whole, HEIGHT_MAX);
  const travel = Math.max(1, spread - view.height);
  // Where the list would be scrolled to, if it had its whole height.
  const offset = whole <= HEIGHT_MAX ? view.top : (view.top / travel) * (whole - view.height);
  const first = Math.max(0, Math.floor(offset / rowHeight) - BEYOND);
  const last = Math.min(length, Math.ceil((offset + view.height) / rowHeight) + BEYOND);

  const look = useCallback(() => {
    const { current } = pane;
    if (current === null) return;
    setView({ top: current.scrollTop, height: current.clientHeight });
    onEnd?.(current.scrollTop + current.clientHeight >= current.scrollHeight - rowHeight);
  }, [onEnd, rowHeight]);

  useLayoutEffect(() => {
    const { current } = pane;
    if (current === null) return;
    const observer = new ResizeObserver(look);
    observer.observe(current);
    return () => observer.disconnect();
  }, [look]);

  useLayoutEffect(() => onRange?.(first, last), [onRange, first, last]);

  useImperativeHandle(handle, () => ({
    show(index, where = "nearest") {
      const { current } = pane;
      if (current === null) return;
      const height = current.clientHeight;
      const full = length * rowHeight;
      const scale = full <= HEIGHT_MAX ? 1 : (HEIGHT_MAX - height) / (full - height);
      const at = index * rowHeight;
      const seen = current.scrollTop / scale;
      if (where === "start") current.scrollTop = at * scale;
      else if (where === "end") current.scrollTop = (at + rowHeight - height) * scale;
      else if (at < seen) current.scrollTop = at * scale;
      else if (at + rowHeight > seen + height) current.scrollTop = (at + rowHeight - height) * scale;
      look();
    },
    top: () => Math.min(Math.max(0, length - 1), Math.ceil(offset / rowHeight)),
  }), [length, rowHeight, look, offset]);

  const shift = view.top + first * rowHeight - offset;
  return (
    <div ref={pane} className={`list ${className ?? ""}`} onScroll={look} role="rowgroup" aria-label={label} tabIndex={0}>
      <div className="list-spread" style={{ height: spread }}>
        <div className="list-rows" style={{ transform: `translateY(${shift}px)` }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, place) => row(first + place))}
        </div>
      </div>
    </div>
  );
}
