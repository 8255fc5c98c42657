/** The kinds of steps as marks: a glyph, a word and a hue each, so that none is told by colour alone. */

/** One of the seven hues of the palette. */
export type Hue = "model" | "thought" | "tool" | "observation" | "error" | "human" | "artifact" | "quiet";

/** How a kind is shown. */
export interface Mark {
  glyph: string;
  word: string;
  hue: Hue;
}

const MARKS: Record<string, Mark> = {
  thought: { glyph: "✻", word: "thought", hue: "thought" },
  tool_call: { glyph: "▸", word: "tool call", hue: "tool" },
  observation: { glyph: "◂", word: "observation", hue: "observation" },
  error_report: { glyph: "✕", word: "error", hue: "error" },
  model_call: { glyph: "△", word: "model call", hue: "model" },
  model_reply: { glyph: "▽", word: "model reply", hue: "model" },
  message: { glyph: "✉", word: "message", hue: "human" },
  handoff: { glyph: "⇢", word: "handoff", hue: "human" },
  intervention: { glyph: "✋", word: "intervention", hue: "human" },
  feedback: { glyph: "★", word: "feedback", hue: "human" },
  plan_update: { glyph: "☰", word: "plan", hue: "thought" },
  status_change: { glyph: "●", word: "status", hue: "quiet" },
  artifact_attached: { glyph: "◆", word: "artifact", hue: "artifact" },
  log_line: { glyph: "¶", word: "log", hue: "quiet" },
  loss: { glyph: "!", word: "loss", hue: "error" },
};

/** The mark of a kind; one of a project's own is told by its name. */
export function markOf(kind: string): Mark {
  return MARKS[kind] ?? { glyph: "◇", word: kind.replaceAll("_", " "), hue: "observation" };
}
