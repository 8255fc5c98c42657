/**
 * A list of entries of any height and any number: only what is in sight is there, and it stays where it is.
 *
 * One entry in sight is the anchor. Everything else is laid out from it, so that whatever is measured, unfolded
 * or loaded above the view moves nothing in it. The scroll bar only says by how much to go, or, where it leaps,
 * to which part of the list; where it stands is put right when nobody scrolls. Must not know what entries are.
 */

import { type ReactNode, type Ref, type SyntheticEvent, useCallback, useImperativeHandle, useLayoutEffect, useRef, useState } from "react";

import type { ListHandle } from "./FixedList";
import { type Anchor, type Place, aroundAnchor, barOf, restOf } from "./anchor";

/** An entry's guessed height, in pixels, before any was measured. */
const GUESS = 64;
/** How far beyond the view entries are drawn, and how far beyond it they are let go. */
const BEYOND = 500;
const BEYOND_MAX = 1_600;
/** What comes so near behind the drawn is drawn behind it; further away one begins anew. */
const NEAR = 50;
/** The last pixels count as the end. */
const END = 30;
const REST_MS = 150;

interface Properties {
  length: number;
  label: string;
  /** Draw an entry: one element, keyed. */
  entry(index: number): ReactNode;
  onRange?(first: number, last: number): void;
  /** The person scrolled: whether the end is in sight. */
  onEnd?(isAtEnd: boolean): void;
  handle?: Ref<ListHandle>;
  isBusy?: boolean;
  className?: string;
}

/** See above. */
export function AnchoredList({ length, label, entry, onRange, onEnd, handle, isBusy = false, className }: Properties) {
  const pane = useRef<HTMLDivElement>(null);
  const bar = useRef<HTMLDivElement>(null);
  const block = useRef<HTMLDivElement>(null);
  /** Where the block stands in what is scrolled through. */
  const blockAt = useRef(0);
  const spread = useRef(0);
  const anchor = useRef<Anchor>({ index: 0, edge: "top", offset: 0 });
  const wasAt = useRef(0);
  /** Whether a part of the person's scrolling was taken before its event came. */
  const isTaken = useRef(false);
  /** An entry's height: what was measured, and what the scroll bar goes by. */
  const measured = useRef({ entries: 0, height: 0 });
  const average = useRef(GUESS);
  const rest = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const [range, setRange] = useState({ first: 0, last: 20 });
  const first = Math.min(range.first, Math.max(0, length - 1));
  const last = Math.min(Math.max(range.last, first + 1), length);

  /** Where the entries that are drawn stand, in pixels from the top of the view. */
  const placed = useCallback((): Place | null => {
    const [seen, rows] = [pane.current, block.current];
    if (seen === null || rows === null) return null;
    const top = blockAt.current - seen.scrollTop;
    return { first, last, length, top, height: rows.offsetHeight, view: seen.clientHeight };
  }, [first, last, length]);

  const moveTo = useCallback((top: number) => {
    const [seen, rows] = [pane.current, block.current];
    if (seen === null || rows === null) return;
    blockAt.current = top + seen.scrollTop;
    rows.style.transform = `translateY(${blockAt.current}px)`;
  }, []);

  /** Put the scroll bar where the view is, without moving what is in it. */
  const settle = useCallback(() => {
    const [seen, place] = [pane.current, placed()];
    if (seen === null || place === null) return;
    const wanted = restOf(place, spread.current);
    if (Math.abs(wanted - seen.scrollTop) < 1) return;
    seen.scrollTop = wanted;
    wasAt.current = seen.scrollTop;
    moveTo(place.top);
  }, [placed, moveTo]);

  const whenAtRest = useRef(settle);
  const settleSoon = useCallback(() => {
    clearTimeout(rest.current);
    rest.current = setTimeout(() => whenAtRest.current(), REST_MS);
  }, []);
  useLayoutEffect(() => () => clearTimeout(rest.current), []);

  /** Draw more where the drawn ends too near, and less where it goes too far. */
  const fill = useCallback(() => {
    const [place, rows] = [placed(), block.current];
    if (place === null || rows === null) return;
    const each = Math.max(8, place.height / Math.max(1, last - first));
    const below = place.top + place.height - place.view;
    let [from, to] = [first, last];
    if (-place.top < BEYOND && from > 0) from -= Math.ceil((BEYOND * 1.5 + place.top) / each);
    else if (-place.top > BEYOND_MAX) from += Math.floor((-place.top - BEYOND) / each / 2);
    if (below < BEYOND && to < length) to += Math.ceil((BEYOND * 1.5 - below) / each);
    else if (below > BEYOND_MAX) to -= Math.floor((below - BEYOND) / each / 2);
    const { index } = anchor.current;
    from = Math.max(0, Math.min(from, index));
    to = Math.min(length, Math.max(to, index + 1));
    if (from !== first || to !== last) setRange({ first: from, last: to });
  }, [placed, first, last, length]);

  /** Lay out from the anchor. */
  const place = useCallback(() => {
    const [seen, rows] = [pane.current, block.current];
    if (seen === null || rows === null || length === 0) return;
    const by = seen.scrollTop - wasAt.current;
    // The event of a leap is yet to come.
    if (Math.abs(by) > seen.clientHeight) return;
    isTaken.current ||= by !== 0;
    anchor.current = {
      ...anchor.current,
      index: Math.min(anchor.current.index, length - 1),
      offset: anchor.current.offset - by,
    };
    const { index, edge, offset } = anchor.current;
    measured.current.entries += last - first;
    measured.current.height += rows.offsetHeight;
    average.current = steady(average.current, measured.current.height / measured.current.entries);
    // What is drawn as a whole is as high as it is.
    spread.current = first === 0 && last === length ? rows.offsetHeight : barOf(length, average.current);
    const height = `${spread.current}px`;
    if (bar.current !== null && bar.current.style.height !== height) bar.current.style.height = height;
    wasAt.current = seen.scrollTop;
    const element = rows.children[index - first];
    if (!(element instanceof HTMLElement)) {
      const isNear = index > first - NEAR && index < last + NEAR;
      setRange(isNear
        ? { first: Math.min(first, index), last: Math.max(last, index + 1) }
        : aroundAnchor(anchor.current, seen.clientHeight, average.current, length));
      return;
    }
    const line = edge === "top" ? element.offsetTop : element.offsetTop + element.offsetHeight - seen.clientHeight;
    let top = offset - line;
    // Neither above the first entry nor below the last one is there anything to see.
    if (last === length && top + rows.offsetHeight < seen.clientHeight) top = seen.clientHeight - rows.offsetHeight;
    if (first === 0 && top > 0) top = 0;
    moveTo(top);
    fill();
  }, [first, last, length, moveTo, fill]);

  whenAtRest.current = () => {
    place();
    settle();
  };

  /** The first entry that begins in sight becomes the anchor. */
  const hold = useCallback(() => {
    const [rows, at] = [block.current, placed()];
    if (rows === null || at === null) return;
    let chosen: { index: number; offset: number } | null = null;
    for (const [nth, element] of [...rows.children].entries()) {
      if (!(element instanceof HTMLElement)) continue;
      const top = at.top + element.offsetTop;
      if (top + element.offsetHeight <= 0) continue;
      if (chosen !== null && top >= at.view) break;
      chosen = { index: first + nth, offset: top };
      if (top >= 0) break;
    }
    if (chosen !== null) anchor.current = { ...chosen, edge: "top" };
  }, [placed, first]);

  /** What is pressed stays under the pointer, whatever it unfolds or opens. */
  const holdPressed = useCallback((event: SyntheticEvent) => {
    const [rows, at] = [block.current, placed()];
    const nth = rows === null ? -1 : [...rows.children].findIndex((each) => event.target instanceof Node && each.contains(event.target));
    const element = rows?.children[nth];
    if (at === null || !(element instanceof HTMLElement)) hold();
    else anchor.current = { index: first + nth, edge: "top", offset: at.top + element.offsetTop };
  }, [placed, hold, first]);

  const onScroll = useCallback(() => {
    const seen = pane.current;
    if (seen === null) return;
    const by = seen.scrollTop - wasAt.current;
    wasAt.current = seen.scrollTop;
    if (by === 0 && !isTaken.current) return;
    isTaken.current = false;
    settleSoon();
    const at = placed();
    if (at === null) return;
    if (at.top > at.view || at.top + at.height < 0) {
      // A leap beyond what is drawn: the scroll bar says which part of the list is meant.
      const share = seen.scrollTop / Math.max(1, spread.current - at.view);
      anchor.current = share >= 1
        ? { index: length - 1, edge: "bottom", offset: 0 }
        : { index: Math.floor(share * Math.max(0, length - at.view / average.current)), edge: "top", offset: 0 };
      setRange(aroundAnchor(anchor.current, at.view, average.current, length));
      onEnd?.(share >= 1);
      return;
    }
    hold();
    const isPastStart = first === 0 && at.top > 0;
    const isPastEnd = last === length && at.top + at.height < at.view;
    const isNearEdge = (first > 0 && seen.scrollTop < at.view) || (last < length && spread.current - at.view - seen.scrollTop < at.view);
    if (isPastStart || isPastEnd) place();
    if (isPastStart || isPastEnd || isNearEdge) settle();
    fill();
    onEnd?.(last === length && at.top + at.height <= at.view + END);
  }, [placed, hold, place, settle, settleSoon, fill, onEnd, length, first, last]);

  useLayoutEffect(() => {
    place();
    const seen = pane.current;
    // The end of the list is the end of the scroll bar, also right after an entry came.
    if (seen !== null && anchor.current.edge === "bottom") settle();
  });

  useLayoutEffect(() => {
    const [seen, rows] = [pane.current, block.current];
    if (seen === null || rows === null) return;
    const observer = new ResizeObserver(() => {
      place();
      settleSoon();
    });
    observer.observe(seen);
    observer.observe(rows);
    return () => observer.disconnect();
  }, [place, settleSoon]);

  useLayoutEffect(() => onRange?.(first, last), [onRange, first, last]);

  useImperativeHandle(handle, () => ({
    show(index, where = "nearest") {
      const at = placed();
      const rows = block.current;
      if (at === null || rows === null) return;
      const element = rows.children[index - first];
      if (where !== "nearest") anchor.current = { index, edge: where === "end" ? "bottom" : "top", offset: 0 };
      else if (!(element instanceof HTMLElement)) anchor.current = { index, edge: "top", offset: at.view / 4 };
      else {
        const top = at.top + element.offsetTop;
        if (top >= 0 && top + element.offsetHeight <= at.view) {
          anchor.current = { index, edge: "top", offset: top };
          return;
        }
        const isTall = element.offsetHeight > at.view;
        anchor.current = { index, edge: top < 0 || isTall ? "top" : "bottom", offset: 0 };
      }
      place();
      settleSoon();
    },
    top() {
      hold();
      return anchor.current.index;
    },
  }), [placed, place, settleSoon, hold, first]);

  return (
    <div
      ref={pane}
      className={`list anchored ${className ?? ""}`}
      onScroll={onScroll}
      onPointerDownCapture={holdPressed}
      onKeyDownCapture={holdPressed}
      role="feed"
      aria-label={label}
      aria-busy={isBusy}
      tabIndex={0}
    >
      <div ref={bar} className="list-spread">
        <div ref={block} className="list-rows">
          {Array.from({ length: Math.max(0, last - first) }, (_, nth) => entry(first + nth))}
        </div>
      </div>
    </div>
  );
}

/** An average that does not follow every entry, so that the scroll bar keeps still. */
function steady(before: number, now: number): number {
  return Math.abs(now - before) > before * 0.25 ? Math.max(8, now) : before;
}
