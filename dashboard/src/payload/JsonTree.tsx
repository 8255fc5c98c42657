/** A JSON value of any size, opened step by step: what is closed costs nothing. */

import { useState } from "react";

import type { JsonValue } from "../api/schema";
import { count } from "../steps/figures";
import { preview } from "./preview";
import { Text } from "./Text";
import { useUnfolded } from "./unfolded";

const CHILDREN = 100;
const STRING = { lines: 12, characters: 1_000 };

interface Properties {
  value: JsonValue;
  /** Tells this value from all others of the view. */
  name: string;
  /** What stands before it. */
  label?: string;
  isOpen?: boolean;
}

/** See above. */
export function JsonTree({ value, name, label, isOpen = false }: Properties) {
  const head = label === undefined ? null : <span className="json-name">{label}: </span>;
  if (typeof value === "string" && (value.length > 120 || value.includes("\n"))) {
    return <div className="json-node">{head}<Text text={value} name={name} fold={STRING} /></div>;
  }
  if (value === null || typeof value !== "object") {
    return <div className="json-node json-leaf">{head}<Scalar value={value} /></div>;
  }
  return <Branch value={value} name={name} label={label} isOpen={isOpen} />;
}

/** A value that is no list and no object. */
export function Scalar({ value }: { value: string | number | boolean | null }) {
  if (typeof value === "string") return <span className="json-string">{JSON.stringify(value)}</span>;
  return <span className={typeof value === "number" ? "json-number" : "json-word"}>{String(value)}</span>;
}

interface BranchProperties {
  value: JsonValue[] | { [key: string]: JsonValue };
  name: string;
  label: string | undefined;
  isOpen: boolean;
}

function Branch({ value, name, label, isOpen: initially }: BranchProperties) {
  const [isOpen, toggle] = useUnfolded(name, initially);
  const [shown, setShown] = useState(CHILDREN);
  const keys = Array.isArray(value) ? null : Object.keys(value);
  const amount = keys === null ? (value as JsonValue[]).length : keys.length;
  const child = (at: number): [string, JsonValue] => {
    if (Array.isArray(value)) return [String(at), value[at] ?? null];
    const key = keys?.[at] ?? "";
    return [key, value[key] ?? null];
  };
  return (
    <div className="json-node">
      <button className="json-toggle" aria-expanded={isOpen} onClick={toggle} disabled={amount === 0}>
        <span aria-hidden className="json-arrow">{amount === 0 ? "" : isOpen ? "▾" : "▸"}</span>
        {label !== undefined && <span className="json-name">{label}: </span>}
        {isOpen
          ? <span className="faint">{Array.isArray(value) ? `${count(amount)} in a list` : `${count(amount)} fields`}</span>
          : <span className="json-preview">{preview(value)}</span>}
      </button>
      {isOpen && (
        <div className="json-children">
          {Array.from({ length: Math.min(shown, amount) }, (_, at) => {
            const [key, each] = child(at);
            return <JsonTree key={key} value={each} name={`${name}/${key}`} label={key} />;
          })}
          {amount > shown && (
            <button className="fold" onClick={() => setShown(shown + 10 * CHILDREN)}>
              show {count(Math.min(10 * CHILDREN, amount - shown))} more of {count(amount)}
            </button>
          )}
        </div>
      )}
    </div>
  );
}
