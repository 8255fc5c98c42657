/** A step in one line, for lists: what a reader needs in order to know whether to open it. */

import type { ChatMessage, CoreStep, JsonValue, Step } from "../api/schema";

const CHARACTERS_MAX = 400;
const DEPTH_MAX = 3;
const FIELDS_MAX = 20;

/** The line of a step, without its kind. */
export function headline(step: Step): string {
  return oneLine(words(step)).slice(0, CHARACTERS_MAX);
}

function words(step: Step): string {
  if (!isCore(step)) return fieldsOf(step.payload);
  switch (step.kind) {
    case "thought":
      return step.payload.text;
    case "tool_call":
      return `${step.payload.tool}(${argumentsOf(step.payload.arguments)})`;
    case "observation":
      return step.payload.cancelled ? "cancelled" : shortJson(step.payload.result);
    case "error_report":
      return [step.payload.exception_type, step.payload.message].filter(Boolean).join(": ");
    case "model_call":
      return `${step.payload.model} · ${step.payload.messages.length} messages`;
    case "model_reply":
      return step.payload.cancelled ? "cancelled" : (textOf(step.payload.message) ?? "no content");
    case "message":
      return `${step.payload.author}: ${step.payload.text}`;
    case "handoff":
      return `to ${step.payload.recipient}: ${step.payload.message}`;
    case "plan_update":
      return step.payload.items.map((item) => `${PLAN[item.status]} ${item.text}`).join("  ");
    case "status_change":
      return [step.payload.start?.name, step.payload.status, step.payload.end?.outcome, step.payload.reason]
        .filter(Boolean)
        .join(" · ");
    case "feedback":
      return [step.payload.label, step.payload.score, step.payload.comment].filter((part) => part !== null).join(" · ");
    case "intervention":
      return [step.payload.author, step.payload.action, step.payload.text].filter(Boolean).join(" · ");
    case "artifact_attached":
      return `${step.payload.artifact.name} · ${step.payload.artifact.media_type}`;
    case "log_line":
      return `${step.payload.level} ${step.payload.logger}: ${step.payload.text}`;
    case "loss":
      return `${step.payload.reason}: ${step.payload.detail}`;
  }
}

const PLAN = { pending: "○", active: "◐", done: "●", dropped: "⊘" } as const;

const CORE = new Set<string>([
  "thought", "tool_call", "observation", "error_report", "model_call", "model_reply", "message", "handoff",
  "plan_update", "status_change", "feedback", "intervention", "artifact_attached", "log_line", "loss",
]);

/** Whether a step is of one of the kinds that come with stepstream. */
export function isCore(step: Step): step is CoreStep {
  return CORE.has(step.kind);
}

/** What a message says, its text parts joined; null where there are none. */
export function textOf(message: ChatMessage | null): string | null {
  if (message === null) return null;
  const texts = message.parts.flatMap((part) => {
    if (part.type === "text") return [part.text];
    if (part.type === "tool_call") return [`${part.name}(${argumentsOf(part.arguments)})`];
    return [];
  });
  return texts.length ? texts.join("\n") : null;
}

function argumentsOf(values: { [key: string]: JsonValue }): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${shortJson(value)}`)
    .join(", ");
}

/** Of a kind of a project's own: its fields as they came, numbers with the digits that are read. */
function fieldsOf(payload: { [key: string]: JsonValue }): string {
  return Object.entries(payload)
    .slice(0, FIELDS_MAX)
    .map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(6)) : shortJson(value, 1)}`)
    .join(" · ");
}

function shortJson(value: JsonValue, depth = 0): string {
  if (typeof value === "string") return depth === 0 ? value : JSON.stringify(value.slice(0, CHARACTERS_MAX));
  if (value === null || typeof value !== "object") return String(value);
  if (depth >= DEPTH_MAX) return "…";
  if (Array.isArray(value)) return `[${value.slice(0, FIELDS_MAX).map((each) => shortJson(each, depth + 1)).join(", ")}]`;
  const fields = Object.entries(value).slice(0, FIELDS_MAX);
  return `{${fields.map(([name, each]) => `${name}: ${shortJson(each, depth + 1)}`).join(", ")}}`;
}

function oneLine(text: string): string {
  return text.slice(0, 4 * CHARACTERS_MAX).replace(/\s+/g, " ").trim();
}
