/** The tokens as canvases take them: those know neither variables nor what depends on the theme. */

import { useEffect, useLayoutEffect, useState } from "react";

/** What each of some tokens is in the present theme. */
export function coloursOf<Name extends string>(element: HTMLElement, names: readonly Name[]): Record<Name, string> {
  const before = element.style.color;
  const found: Partial<Record<Name, string>> = {};
  for (const name of names) {
    element.style.color = `var(--${name})`;
    found[name] = getComputedStyle(element).color;
  }
  element.style.color = before;
  return found as Record<Name, string>;
}

/** Counts how often the theme changed, so that what is drawn with it is drawn again. */
export function useThemeCount(): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const onChange = (): void => setChanges((before) => before + 1);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", onChange);
    dark.addEventListener("change", onChange);
    return () => {
      removeEventListener("themechange", onChange);
      dark.removeEventListener("change", onChange);
    };
  }, []);
  return changes;
}

/** What each of some tokens is; read when the theme changes. Null before the element is there. */
export function useColours<Name extends string>(element: { current: HTMLElement | null }, names: readonly Name[]): Record<Name, string> | null {
  const theme = useThemeCount();
  const [colours, setColours] = useState<Record<Name, string> | null>(null);
  useLayoutEffect(() => {
    if (element.current !== null) setColours(coloursOf(element.current, names));
  }, [element, names, theme]);
  return colours;
}
