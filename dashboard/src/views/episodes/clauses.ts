/** The clauses of a filter that stand side by side: told apart, added and taken away without reading them. */

/** A clause of the filter grammar that asks for one value. */
export function clauseOf(name: string, value: string): string {
  return /^[\w.@-]+$/.test(value) ? `${name}:${value}` : `${name}:"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** The filter with a clause added, or taken away where it stands. */
export function toggled(filter: string, clause: string): string {
  const clauses = clausesOf(filter);
  const others = clauses.filter((each) => each !== clause);
  return (others.length < clauses.length ? others : [...clauses, clause]).join(" ");
}

/** The clauses of a filter that stand side by side; quotes, expressions and parentheses hold together. */
export function clausesOf(filter: string): string[] {
  return filter.match(/(?:"(?:\\.|[^"\\])*"|~\/(?:\\.|[^/\\])*\/i?|\((?:[^()"]|"(?:\\.|[^"\\])*")*\)|[^\s"(])+/g) ?? [];
}
