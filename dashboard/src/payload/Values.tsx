/** Named values, as arguments and results have them: one line each, long texts as blocks, nested ones as trees. */

import type { ReactNode } from "react";

import type { JsonValue } from "../api/schema";
import { count } from "../steps/figures";
import { JsonTree } from "./JsonTree";
import { figure, isShort } from "./preview";
import { Text } from "./Text";
import { useUnfolded } from "./unfolded";

const BLOCK = { lines: 24, characters: 4_000 };
const BRIEF_BLOCK = { lines: 6, characters: 600 };
const BRIEF_ROWS = 16;
const ROWS = 100;
/** Lists of so few words or numbers are told in one line. */
const LIST = 12;

interface Properties {
  values: { [key: string]: JsonValue };
  name: string;
  /** Only the beginning, for lists. */
  isBrief?: boolean;
}

/** See above. */
export function Values({ values, name, isBrief = false }: Properties) {
  const [isOpen, toggle] = useUnfolded(`${name}/rows`);
  const all = Object.keys(values);
  // In a list what is short stands side by side, before what needs a line of its own.
  const short = isBrief ? all.filter((key) => isShort(values[key] ?? null)) : [];
  const keys = isBrief ? [...short, ...all.filter((key) => !isShort(values[key] ?? null))] : all;
  const most = isBrief ? BRIEF_ROWS : ROWS;
  const shown = isOpen ? keys : keys.slice(0, most);
  const row = (key: string): ReactNode => (
    <Row key={key} label={key}><Value value={values[key] ?? null} name={`${name}/${key}`} isBrief={isBrief} /></Row>
  );
  return (
    <>
      {short.length > 0 && <dl className="values in-a-row">{shown.slice(0, short.length).map(row)}</dl>}
      {shown.length > short.length && <dl className="values">{shown.slice(short.length).map(row)}</dl>}
      {keys.length > most && (
        <button className="fold" aria-expanded={isOpen} onClick={toggle}>
          {isOpen ? "show less" : `show all ${count(keys.length)}`}
        </button>
      )}
    </>
  );
}

/** One named value. */
export function Row({ label, title, children }: { label: ReactNode; title?: string | undefined; children: ReactNode }) {
  return <div><dt title={title}>{label}</dt><dd>{children}</dd></div>;
}

/** A value as it is read: words without quotes, numbers with the digits that matter. */
export function Value({ value, name, isBrief = false }: { value: JsonValue; name: string; isBrief?: boolean }) {
  if (typeof value === "string") {
    if (value === "") return <span className="faint">empty</span>;
    if (value.length <= 160 && !value.includes("\n")) return <span className="words">{value}</span>;
    return <Text text={value} name={name} fold={isBrief ? BRIEF_BLOCK : BLOCK} />;
  }
  if (typeof value === "number") return <span className="json-number" title={String(value)}>{figure(value)}</span>;
  if (typeof value === "boolean") return <span className="json-word">{value ? "yes" : "no"}</span>;
  if (value === null) return <span className="faint">none</span>;
  if (isEmpty(value)) return <span className="faint">{Array.isArray(value) ? "empty list" : "no fields"}</span>;
  if (Array.isArray(value) && value.length <= LIST && value.every(isPlainWord)) return <span className="words">{value.join(", ")}</span>;
  return <JsonTree value={value} name={name} />;
}

/** What stands in a list without needing quotes. */
function isPlainWord(value: JsonValue): value is string | number {
  return typeof value === "number" || (typeof value === "string" && /^[\w./:@+-]{1,40}$/.test(value));
}

function isEmpty(value: JsonValue[] | { [key: string]: JsonValue }): boolean {
  return (Array.isArray(value) ? value : Object.keys(value)).length === 0;
}

/** A result: a text as a block, an object as its fields, all else as a tree. */
export function Result({ value, name, isBrief = false }: { value: JsonValue; name: string; isBrief?: boolean }) {
  if (value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0) {
    return <Values values={value} name={name} isBrief={isBrief} />;
  }
  if (typeof value === "string" && value !== "") return <Text text={value} name={name} fold={isBrief ? BRIEF_BLOCK : BLOCK} />;
  return <Value value={value} name={name} isBrief={isBrief} />;
}
