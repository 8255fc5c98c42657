/** The places at which two values differ: where, and what stands there on each side. */

import type { ValueDifference } from "../../api/schema";
import { differing } from "./differing";

/** What the server tells at most. */
const TOLD_MAX = 20;

/** See above. */
export function Differences({ name, differences }: { name: string; differences: ValueDifference[] }) {
  return (
    <div className="differences">
      {differences.map((difference) => <Place key={difference.path} name={name} difference={difference} />)}
      {differences.length >= TOLD_MAX && <p className="faint">The first {TOLD_MAX} places of the {name}; there may be more.</p>}
    </div>
  );
}

function Place({ name, difference: { path, a, b } }: { name: string; difference: ValueDifference }) {
  const parts = a === null || b === null ? null : differing(a, b);
  return (
    <div className="difference">
      <p className="faint mono"><span className="unseen">{name} </span>{path || name}</p>
      <Value side="A" whole={a} part={parts?.a ?? null} before={parts?.before ?? ""} after={parts?.after ?? ""} />
      <Value side="B" whole={b} part={parts?.b ?? null} before={parts?.before ?? ""} after={parts?.after ?? ""} />
    </div>
  );
}

interface ValueProperties {
  side: "A" | "B";
  whole: string | null;
  part: string | null;
  before: string;
  after: string;
}

function Value({ side, whole, part, before, after }: ValueProperties) {
  if (whole === null) return <p className="faint difference-value">not in {side}</p>;
  if (part === null) return <pre className="difference-value"><mark>{whole}</mark></pre>;
  return <pre className="difference-value">{before}<mark>{part}</mark>{after}</pre>;
}
