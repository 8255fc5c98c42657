/** Saved views: addresses under a name, kept in this browser, for each view by itself. */

/** A view as it was saved: the part of its address behind the question mark. */
export interface SavedView {
  name: string;
  query: string;
}

/** What is of the moment, and no part of a view. */
const OF_THE_MOMENT = ["step", "compare", "at", "playhead"];

/** The part of an address that is kept. */
export function queryOf(search: URLSearchParams): string {
  const kept = new URLSearchParams(search);
  for (const name of OF_THE_MOMENT) kept.delete(name);
  kept.sort();
  return kept.toString();
}

/** The views with one more; a name that was there means this one now. */
export function withView(views: SavedView[], view: SavedView): SavedView[] {
  return [...views.filter(({ name }) => name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name));
}

/** Read what was kept; whatever else may stand there is no view. */
export function readViews(place: string): SavedView[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(keyOf(place)) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isView) : [];
  } catch {
    return [];
  }
}

/** Keep them. */
export function writeViews(place: string, views: SavedView[]): void {
  localStorage.setItem(keyOf(place), JSON.stringify(views));
}

const keyOf = (place: string): string => `stepstream-views-${place}`;

function isView(value: unknown): value is SavedView {
  return (
    typeof value === "object" && value !== null &&
    "name" in value && typeof value.name === "string" &&
    "query" in value && typeof value.query === "string"
  );
}
