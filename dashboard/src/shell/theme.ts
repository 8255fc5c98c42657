/** The theme: the system's, unless the person chose one. */

const KEY = "stepstream-theme";
/** Those that can be chosen. */
export const THEMES = ["system", "light", "dark"] as const;

/** One of the three. */
export type Theme = (typeof THEMES)[number];

/** What was chosen. */
export function theme(): Theme {
  const kept = localStorage.getItem(KEY);
  return THEMES.find((each) => each === kept) ?? "system";
}

/** Show the page in the theme that was chosen. */
export function applyTheme(): void {
  const chosen = theme();
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

/** Choose the next theme; returns it. */
export function nextTheme(): Theme {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? "system";
  chooseTheme(next);
  return next;
}

/** Choose a theme. */
export function chooseTheme(chosen: Theme): void {
  localStorage.setItem(KEY, chosen);
  applyTheme();
  // What is drawn on canvases reads its colours anew.
  dispatchEvent(new Event("themechange"));
}

/** Be told when another theme is chosen; pass it to `useSyncExternalStore`. */
export function onTheme(listener: () => void): () => void {
  addEventListener("themechange", listener);
  return () => removeEventListener("themechange", listener);
}
