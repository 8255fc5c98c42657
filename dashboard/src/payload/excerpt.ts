/** The beginning of a long text: whole lines where there are lines. Pure. */

/** What is shown of a text, and how much is not. */
export interface Excerpt {
  shown: string;
  /** Lines of the whole text; counted no further than it takes to know that it is long. */
  lines: number;
  isCut: boolean;
}

/** The first lines of a text, within a number of characters. */
export function excerpt(text: string, lines: number, characters: number): Excerpt {
  let [end, found] = [-1, 0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) {
    found += 1;
    if (found === lines) end = at;
  }
  // The end of the last line begins no line.
  const total = text.endsWith("\n") ? found : found + 1;
  let shown = end === -1 || total <= lines ? text : text.slice(0, end);
  if (shown.length > characters) {
    const space = shown.lastIndexOf(" ", characters);
    shown = shown.slice(0, space > characters * 0.7 ? space : characters);
  }
  return { shown, lines: total, isCut: shown.length < text.trimEnd().length };
}
