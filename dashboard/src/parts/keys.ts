/** Keys as commands: off while somebody types, and of the newest layer only where several are open. */

import { useEffect, useRef } from "react";

import { isTyping } from "./FilterField";

/** What each key does; names are those of `KeyboardEvent.key`. */
export type Keys = Record<string, (event: KeyboardEvent) => unknown>;

/** Obey keys for as long as the component is there. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]") !== null) return;
      // Enter and space belong to what has the focus.
      const isOnControl = event.target instanceof HTMLElement && event.target.matches("button, a, summary, [role=tab]");
      if (isOnControl && (event.key === "Enter" || event.key === " ")) return;
      const command = latest.current[event.key];
      if (command === undefined) return;
      event.preventDefault();
      command(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}
