/** The episodes that are marked to be compared: at most two, and they stand in the address. */

import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";

const NAME = "compare";
const MARKED_MAX = 2;

/** The ids in the order in which they were marked. */
export function markedIn(search: URLSearchParams): string[] {
  return [...new Set((search.get(NAME) ?? "").split(",").filter(Boolean))].slice(0, MARKED_MAX);
}

/** The marks with one more, or without it where it was there; a third one takes the place of the second. */
export function toggledMark(marked: string[], id: string): string[] {
  if (marked.includes(id)) return marked.filter((each) => each !== id);
  return [...marked.slice(0, MARKED_MAX - 1), id];
}

/** The marks, and the way to change them. */
export function useMarked(): { marked: string[]; toggle(id: string): void; clear(): void } {
  const [search, setSearch] = useSearchParams();
  const kept = search.get(NAME) ?? "";
  const marked = useMemo(() => markedIn(new URLSearchParams({ [NAME]: kept })), [kept]);
  const put = useCallback(
    (change: (before: string[]) => string[]) =>
      setSearch((before) => {
        const after = new URLSearchParams(before);
        const ids = change(markedIn(before));
        if (ids.length) after.set(NAME, ids.join(","));
        else after.delete(NAME);
        return after;
      }, { replace: true }),
    [setSearch],
  );
  const toggle = useCallback((id: string) => put((before) => toggledMark(before, id)), [put]);
  const clear = useCallback(() => put(() => []), [put]);
  return { marked, toggle, clear };
}

/** Where the two are put side by side; null while they are not two. */
export function comparisonAddress(marked: string[]): string | null {
  const [a, b] = marked;
  return a === undefined || b === undefined ? null : `/compare?${new URLSearchParams({ a, b })}`;
}
