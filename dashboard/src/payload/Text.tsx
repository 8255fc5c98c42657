/** A text of any length: its beginning, and the rest in parts that a browser can bear. */

import { useMemo, useState } from "react";

import { bytes, count } from "../steps/figures";
import { excerpt } from "./excerpt";
import { Markdown } from "./Markdown";
import { useUnfolded } from "./unfolded";

const PART = 100_000;

interface Properties {
  text: string;
  /** Tells this text from all others of the view. */
  name: string;
  /** Lines and characters that are shown folded; everything is shown at once where none are given. */
  fold?: { lines: number; characters: number } | undefined;
  /** Whether it is words, or something whose columns count. */
  isWords?: boolean;
}

/** See above. */
export function Text({ text, name, fold, isWords = false }: Properties) {
  const [isOpen, toggle] = useUnfolded(name);
  const [shown, setShown] = useState(PART);
  const short = useMemo(() => (fold ? excerpt(text, fold.lines, fold.characters) : null), [text, fold]);
  const isFolded = short !== null && short.isCut && !isOpen;
  const seen = isFolded ? short.shown : text.slice(0, shown);
  return (
    <div className="text">
      {isWords ? <Markdown text={seen} /> : <pre className="block">{seen}{isFolded && " …"}</pre>}
      {isFolded || (short?.isCut && isOpen) ? (
        <button className="fold" aria-expanded={isOpen} onClick={toggle}>
          {isOpen ? "show less" : `show all ${sizeOf(text, short.lines)}`}
        </button>
      ) : null}
      {!isFolded && text.length > shown && (
        <button className="fold" onClick={() => setShown(shown + PART)}>
          show {bytes(Math.min(PART, text.length - shown))} more of {bytes(text.length)}
        </button>
      )}
    </div>
  );
}

function sizeOf(text: string, lines: number): string {
  return lines > 3 ? `${count(lines)} lines` : `${count(text.length)} characters`;
}
