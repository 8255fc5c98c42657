/** The saved views of a place in a small menu: one press shows one, a name saves what is seen. */

import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";

import { queryOf, readViews, type SavedView, withView, writeViews } from "./saved_views";
import "./saved-views.css";

/** See above. */
export function SavedViews({ place }: { place: "episodes" | "episode" | "search" | "statistics" }) {
  const [search, setSearch] = useSearchParams();
  const [views, setViews] = useState(() => readViews(place));
  const menu = useRef<HTMLDetailsElement>(null);
  const query = queryOf(search);
  const current = views.find((view) => view.query === query);
  useEffect(() => {
    const onPress = (event: PointerEvent): void => {
      if (event.target instanceof Node && !menu.current?.contains(event.target)) menu.current?.removeAttribute("open");
    };
    addEventListener("pointerdown", onPress);
    return () => removeEventListener("pointerdown", onPress);
  }, []);

  const keep = (after: SavedView[]): void => {
    writeViews(place, after);
    setViews(after);
  };
  const show = (view: SavedView): void => {
    menu.current?.removeAttribute("open");
    setSearch(new URLSearchParams(view.query));
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !menu.current?.open) return;
    event.stopPropagation();
    menu.current.open = false;
    menu.current.querySelector("summary")?.focus();
  };
  return (
    <details className="saved-views" ref={menu} onKeyDown={onKey} onToggle={() => setViews(readViews(place))}>
      <summary aria-label={current ? `Saved view: ${current.name}` : "Saved views"}>
        <span aria-hidden>{current ? "★" : "☆"}</span> {current?.name ?? "Views"}
      </summary>
      <div className="saved-views-menu">
        {views.length === 0 && <p className="faint">A view that is saved is a click away, in this browser.</p>}
        <ul>
          {views.map((view) => (
            <li key={view.name}>
              <button type="button" className="plain clip" aria-pressed={view === current} title={wordsOf(view)} onClick={() => show(view)}>
                {view.name}
              </button>
              <button type="button" className="plain" aria-label={`Remove the view ${view.name}`} onClick={() => keep(views.filter((each) => each !== view))}>
                ✕
              </button>
            </li>
          ))}
        </ul>
        {query !== "" && !current && <NameField onName={(name) => keep(withView(views, { name, query }))} />}
        {query === "" && <p className="faint">Filter first: then the view can be saved.</p>}
      </div>
    </details>
  );
}

function wordsOf({ query }: SavedView): string {
  return [...new URLSearchParams(query)].map(([name, value]) => `${name}: ${value}`).join("\n");
}

/** Not a form of its own: it stands in the form of the filter. */
function NameField({ onName }: { onName(name: string): void }) {
  const [name, setName] = useState("");
  const save = (): void => {
    if (name.trim()) onName(name.trim());
    setName("");
  };
  return (
    <div className="saved-views-name">
      <input
        value={name}
        onChange={(event) => setName(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          save();
        }}
        aria-label="Name for this view"
        placeholder="Name for this view"
        maxLength={60}
      />
      <button type="button" onClick={save} disabled={!name.trim()}>Save</button>
    </div>
  );
}
