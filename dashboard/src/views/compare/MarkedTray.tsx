/** What is marked to be compared, under the list of episodes, and the way to the comparison. */

import { Link } from "wouter";

import { comparisonAddress } from "./marked";
import "./marked-tray.css";

interface Properties {
  marked: string[];
  /** What an episode is called; null where that is not known here. */
  nameOf(id: string): string | null;
  onClear(): void;
}

/** See above. Nothing while nothing is marked. */
export function MarkedTray({ marked, nameOf, onClear }: Properties) {
  if (marked.length === 0) return null;
  const address = comparisonAddress(marked);
  return (
    <div className="marked-tray" role="region" aria-label="Marked to compare">
      {marked.map((id, index) => (
        <span key={id} className="clip"><b>{index ? "B" : "A"}</b> {nameOf(id) ?? `${id.slice(0, 13)}…`}</span>
      ))}
      {address === null ? <span className="soft">mark another with <kbd>x</kbd></span> : <Link href={address} className="marked-go">Compare <kbd>X</kbd></Link>}
      <button className="plain" onClick={onClear} aria-label="Mark none">✕</button>
    </div>
  );
}
