/** JSON values as people skim them: short, in the order they came, never all of a big one. Pure. */

import type { JsonValue } from "../api/schema";

const FIELDS_MAX = 6;
const WORDS_MAX = 60;
const SHORT_MAX = 60;

/** One line of a value. */
export function preview(value: JsonValue, depth = 2): string {
  if (typeof value === "string") return JSON.stringify(value.length > WORDS_MAX ? `${value.slice(0, WORDS_MAX)}…` : value);
  if (typeof value === "number") return figure(value);
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    if (depth === 0) return `[… ${value.length}]`;
    // Of what has parts itself one says how the others are.
    const most = typeof value[0] === "object" && value[0] !== null ? 1 : FIELDS_MAX;
    const shown = value.slice(0, most).map((each) => preview(each, depth - 1));
    return `[${shown.join(", ")}${value.length > most ? `, … ${value.length}` : ""}]`;
  }
  const names = Object.keys(value);
  if (names.length === 0) return "{}";
  if (depth === 0) return "{…}";
  const shown = names.slice(0, FIELDS_MAX).map((name) => `${name}: ${preview(value[name] ?? null, depth - 1)}`);
  return `{${shown.join(", ")}${names.length > FIELDS_MAX ? ", …" : ""}}`;
}

/** A number with the digits that are read; all of them stand in its title. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? String(value) : value.toExponential();
  const short = Number(value.toPrecision(6));
  return String(short);
}

/** Whether a value fits one line. */
export function isShort(value: JsonValue): boolean {
  if (typeof value === "string") return value.length <= SHORT_MAX && !value.includes("\n");
  if (value === null || typeof value !== "object") return true;
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}
