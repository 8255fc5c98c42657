/** One parameter of the address, as state. */

import { useCallback } from "react";
import { useSearchParams } from "wouter";

/** What it is, and how it is changed; null takes it away. */
export function useParameter(name: string): [string | null, (value: string | null) => void] {
  const [search, setSearch] = useSearchParams();
  const set = useCallback((value: string | null) => setSearch((before) => {
    const after = new URLSearchParams(before);
    if (value === null) after.delete(name);
    else after.set(name, value);
    return after;
  }, { replace: true }), [name, setSearch]);
  return [search.get(name), set];
}
