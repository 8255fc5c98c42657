/** What every view stands in: the way between views, how the connection stands, and who one is. */

import { type ReactNode, Suspense, lazy, useEffect, useState, useSyncExternalStore } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import { Trouble } from "../parts/Trouble";
import { useKeys } from "../parts/keys";
import { EpisodesView } from "../views/episodes/EpisodesView";
import { ConnectionMark } from "./ConnectionMark";
import { KeyHelp } from "./KeyHelp";
// With the page itself: what is typed right behind the key that opens it must not be lost.
import Palette from "./Palette";
import { SignIn } from "./SignIn";
import { useSession, useSignedOut, useSigning } from "./session";
import { nextTheme, onTheme, theme } from "./theme";

const CompareView = lazy(() => import("../views/compare/CompareView"));
const EpisodeView = lazy(() => import("../views/episode/EpisodeView"));
const SearchView = lazy(() => import("../views/search/SearchView"));
const StatisticsView = lazy(() => import("../views/statistics/StatisticsView"));
const SystemView = lazy(() => import("../views/system/SystemView"));

const VIEWS = [
  ["/", "Episodes"],
  ["/search", "Search"],
  ["/statistics", "Metrics"],
  ["/system", "System"],
] as const;

/** See above. */
export function Shell() {
  const { session, error } = useSession();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  usePaletteKey(() => setPaletteOpen(true));
  useSignedOut();
  useKeys({ "?": () => setHelpOpen(true), t: () => nextTheme() });
  return (
    <div className="shell">
      <Bar onHelp={() => setHelpOpen(true)} onPalette={() => setPaletteOpen(true)} />
      <div className="page">
        {error ? <Trouble error={error} /> : session === null ? <SignIn /> : session && <Views />}
      </div>
      {isHelpOpen && <KeyHelp onClose={() => setHelpOpen(false)} />}
      {isPaletteOpen && session && (
        <Palette onClose={() => setPaletteOpen(false)} onKeys={() => setHelpOpen(true)} />
      )}
    </div>
  );
}

/** Ctrl+K, or Cmd+K, works in fields too. */
function usePaletteKey(open: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      if (document.querySelector("dialog[open]") === null) open();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
}

function Views() {
  return (
    <Suspense fallback={null}>
      <Switch>
        <Route path="/"><EpisodesView /></Route>
        <Route path="/episodes"><EpisodesView /></Route>
        <Route path="/episodes/:id">{({ id }) => <EpisodeView key={id} id={id} />}</Route>
        <Route path="/compare"><CompareView /></Route>
        <Route path="/search"><SearchView /></Route>
        <Route path="/statistics"><StatisticsView /></Route>
        <Route path="/system"><SystemView /></Route>
        <Route>
          <div className="note">
            <h1>There is no such page.</h1>
            <Link href="/">All episodes</Link>
          </div>
        </Route>
      </Switch>
    </Suspense>
  );
}

function Bar({ onHelp, onPalette }: { onHelp(): void; onPalette(): void }) {
  const [path] = useLocation();
  const { session } = useSession();
  const { signOut } = useSigning();
  const chosen = useSyncExternalStore(onTheme, theme);
  const csrf = session?.csrf_token ?? null;
  return (
    <header className="bar">
      <Link href="/" className="brand">
        <Mark /> stepstream
      </Link>
      <nav aria-label="Views">
        {VIEWS.map(([address, name]) => (
          <Link key={address} href={address} aria-current={path === address ? "page" : undefined}>{name}</Link>
        ))}
      </nav>
      <span className="stretch" />
      <ConnectionMark />
      <button className="plain" onClick={onPalette} aria-label="Ctrl K: command palette"><kbd>Ctrl K</kbd></button>
      <button className="plain" onClick={nextTheme} aria-label={`Theme: ${chosen}; press for the next`}>
        {chosen === "dark" ? "☾" : chosen === "light" ? "☀" : "◐"}
      </button>
      <button className="plain" onClick={onHelp} aria-label="Keys">?</button>
      {session && <span className="soft" title={`may ${session.scopes.join(", ")}`}>{session.name}</span>}
      {csrf !== null && <button className="plain" onClick={() => void signOut(csrf)}>Sign out</button>}
    </header>
  );
}

function Mark(): ReactNode {
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden>
      <path d="M2 12.5h3.5V9H9V5.5h3.5V2" fill="none" stroke="var(--accent)" strokeWidth="2.2" strokeLinecap="round" strokeLinejoin="round" />
      <circle cx="13" cy="13" r="2.2" fill="var(--hue-tool)" />
    </svg>
  );
}
