/** What every view stands in: the way between views, how the connection stands, and who one is. */

import { type ReactNode, Suspense, lazy, useState } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import { Trouble } from "../parts/Trouble";
import { useKeys } from "../parts/keys";
import { EpisodesView } from "../views/episodes/EpisodesView";
import { ConnectionMark } from "./ConnectionMark";
import { KeyHelp } from "./KeyHelp";
import { SignIn } from "./SignIn";
import { useSession, useSigning } from "./session";
import { nextTheme, theme } from "./theme";

const EpisodeView = lazy(() => import("../views/episode/EpisodeView"));

const VIEWS = [
  ["/", "Episodes"],
] as const;

/** See above. */
export function Shell() {
  const { session, error } = useSession();
  const [isHelpOpen, setHelpOpen] = useState(false);
  useKeys({ "?": () => setHelpOpen(true), t: () => nextTheme() });
  return (
    <div className="shell">
      <Bar onHelp={() => setHelpOpen(true)} />
      <div className="page">
        {error ? <Trouble error={error} /> : session === null ? <SignIn /> : session && <Views />}
      </div>
      {isHelpOpen && <KeyHelp onClose={() => setHelpOpen(false)} />}
    </div>
  );
}

function Views() {
  return (
    <Suspense fallback={null}>
      <Switch>
        <Route path="/"><EpisodesView /></Route>
        <Route path="/episodes"><EpisodesView /></Route>
        <Route path="/episodes/:id">{({ id }) => <EpisodeView key={id} id={id} />}</Route>
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

function Bar({ onHelp }: { onHelp(): void }) {
  const [path] = useLocation();
  const { session } = useSession();
  const { signOut } = useSigning();
  const [chosen, setChosen] = useState(theme);
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
      <button className="plain" onClick={() => setChosen(nextTheme())} aria-label={`Theme: ${chosen}; press for the next`}>
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
