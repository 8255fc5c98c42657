/** Terminal colours as classes: what a log says with escape sequences, as pieces of text that are only text. */

import Anser from "anser";

/** A piece of text in one look. */
export interface Piece {
  text: string;
  className: string;
}

/** The pieces of a text, in their order. */
export function pieces(text: string): Piece[] {
  if (!text.includes("\u001b")) return [{ text, className: "" }];
  return Anser.ansiToJson(text, { json: true, use_classes: true, remove_empty: true }).map((entry) => ({
    text: entry.content,
    className: [
      known(entry.fg),
      ...entry.decorations.map((each) => `ansi-${each}`),
    ].filter(Boolean).join(" "),
  }));
}

/** The sixteen colours by name; all finer ones are left to the theme. */
function known(name: string | null): string {
  return name !== null && /^ansi-(bright-)?(black|red|green|yellow|blue|magenta|cyan|white)$/.test(name) ? name : "";
}
