/** Marks: how a status and a kind look wherever they stand. */

import type { SpanStatus, Status } from "../api/schema";
import { markOf } from "../steps/kind";

const GLYPHS: Record<Status | SpanStatus, string> = {
  running: "",
  completed: "✓",
  ok: "✓",
  failed: "✕",
  error: "✕",
  cancelled: "⊘",
  interrupted: "⚡",
  cut_off: "⚡",
};

/** A status: a glyph and a word, or the glyph alone with the word for who does not see it. */
export function StatusMark({ status, brief = false }: { status: Status | SpanStatus; brief?: boolean }) {
  const word = status.replace("_", " ");
  return (
    <span className={`status status-${status}`} title={brief ? word : undefined}>
      {status === "running" ? <span className="dot" aria-hidden /> : <span aria-hidden>{GLYPHS[status]}</span>}
      <span className={brief ? "unseen" : ""}>{word}</span>
    </span>
  );
}

/** A kind: its glyph and its word. */
export function KindMark({ kind, brief = false }: { kind: string; brief?: boolean }) {
  const { glyph, word, hue } = markOf(kind);
  return (
    <span className="kind" title={brief ? word : undefined}>
      <span className={`kind-glyph hue-${hue}`} aria-hidden>
        {glyph}
      </span>
      <span className={brief ? "unseen" : ""}>{word}</span>
    </span>
  );
}
