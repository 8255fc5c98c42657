/** One step in the transcript: as much of it as is read on the way, and the rest behind a press. */

import { type MouseEvent, type ReactNode, memo } from "react";

import type { JsonValue, SpanStatus, Step } from "../../../api/schema";
import { KindMark, StatusMark } from "../../../parts/Marks";
import { useNow } from "../../../parts/time";
import { useBeat } from "../../../parts/useBeat";
import { BriefFailure } from "../../../payload/Failure";
import { Payload } from "../../../payload/Payload";
import { Text } from "../../../payload/Text";
import { useUnfolded } from "../../../payload/unfolded";
import { duration, moment } from "../../../steps/figures";
import { headline, isCore } from "../../../steps/headline";
import { opens } from "../details/pair";
import type { Drafts } from "../drafts";

const CODE = { lines: 8, characters: 800 };
const DRAFT_CHARACTERS = 1_200;

/** What is known of a step from its neighbours; plain values, so that an entry is only drawn anew when it changed. */
export interface EntryProperties {
  step: Step;
  place: number;
  of: number;
  began: number;
  isChosen: boolean;
  /** How a call stands; null where that is not known, or it is none. */
  status: SpanStatus | null;
  took: number | null;
  depth: number;
  /** It is the answer to the entry above. */
  isAnswer: boolean;
  speaker: string | null;
  isTurn: boolean;
  drafts: Drafts;
  onChoose(sequence: number): void;
}

/** See above. */
export const Entry = memo(function Entry(properties: EntryProperties) {
  const { step, place, of, began, isChosen, depth, isAnswer, speaker, isTurn, onChoose } = properties;
  const choose = (event: MouseEvent<HTMLElement>): void => {
    if (isForOther(event.target)) return;
    onChoose(step.sequence);
  };
  const classes = ["entry", `entry-${step.kind}`, isAnswer && "answer", isChosen && "chosen", step.kind === "error_report" && "failed"];
  return (
    <article
      className={classes.filter(Boolean).join(" ")}
      aria-posinset={place + 1}
      aria-setsize={of}
      aria-current={isChosen || undefined}
      aria-label={`Step ${step.sequence}: ${step.kind.replaceAll("_", " ")}`}
      onClick={choose}
      data-depth={depth}
    >
      {isTurn && <p className="turn"><span>{speaker}</span></p>}
      {isCore(step) && step.kind === "handoff" && <Handoff step={step} />}
      <div className="entry-row">
        <button
          className="entry-place figure"
          onClick={() => onChoose(step.sequence)}
          aria-label={`Details of step ${step.sequence}`}
          title={`${moment(step.occurred_at)}, ${duration(step.occurred_at - began)} in`}
        >
          {step.sequence}
        </button>
        <div className="entry-threads" aria-hidden>{Array.from({ length: depth }, (_, at) => <i key={at} />)}</div>
        <div className="entry-mark"><KindMark kind={step.kind} brief /></div>
        <div className="entry-body">
          {speaker !== null && !isTurn && <span className="chip entry-speaker">{speaker}</span>}
          <Body {...properties} />
        </div>
        <Outcome {...properties} />
      </div>
    </article>
  );
});

/** A row that is not here yet. */
export function AwaitedEntry({ place, of }: { place: number; of: number }) {
  return (
    <article className="entry" aria-posinset={place + 1} aria-setsize={of} aria-busy aria-label={`Step ${place}, being fetched`}>
      <div className="entry-row"><span className="entry-place figure">{place}</span><span className="entry-mark" /><div className="skeleton" /></div>
    </article>
  );
}

/** Buttons and links do what they do, and who selects text wants nothing opened. */
function isForOther(target: EventTarget): boolean {
  if (target instanceof Element && target.closest("button, a, summary, input, figure, [role=application]") !== null) return true;
  return getSelection()?.isCollapsed === false;
}

function Body({ step, status, drafts }: EntryProperties): ReactNode {
  if (!isCore(step)) return <OwnBody step={step} />;
  switch (step.kind) {
    case "tool_call":
      return <ToolCallBody step={step} status={status} drafts={drafts} />;
    case "model_call":
      return <ModelCallBody step={step} status={status} drafts={drafts} />;
    case "error_report":
      return <BriefFailure report={step.payload} name={String(step.sequence)} />;
    case "status_change":
      return <p className="quiet">{headline(step)}</p>;
    case "log_line":
      return step.payload.text.length > 300 || step.payload.text.includes("\n")
        ? <Payload step={step} isBrief />
        : <p className="quiet mono"><span className={`log-level level-${step.payload.level}`}>{step.payload.level}</span> {step.payload.logger}: {step.payload.text}</p>;
    case "handoff":
      return step.payload.message === "" ? <p className="quiet">nothing was said</p> : <Text text={step.payload.message} name={`${step.sequence}/text`} fold={CODE} isWords />;
    default:
      return <Payload step={step} isBrief />;
  }
}

function OwnBody({ step }: { step: Step }) {
  return <><span className="entry-word">{step.kind.replaceAll("_", " ")}</span><Payload step={step} isBrief /></>;
}

type Of<Kind extends string> = Extract<Step, { kind: Kind }>;
interface CallProperties<Kind extends string> { step: Of<Kind>; status: SpanStatus | null; drafts: Drafts }

/** The tool and its arguments in one line; texts of several lines below it, and all of them behind a press. */
function ToolCallBody({ step, status, drafts }: CallProperties<"tool_call">) {
  const name = String(step.sequence);
  const [isOpen, toggle] = useUnfolded(`${name}/call`);
  const { tool, arguments: values } = step.payload;
  const blocks = Object.entries(values).filter((each): each is [string, string] => isBlock(each[1]));
  return (
    <>
      <button className="call-line" aria-expanded={isOpen} onClick={toggle}>
        <b>{tool}</b> <span className="soft mono">{isOpen ? "" : lineOf(step)}</span>
      </button>
      {isOpen ? <Payload step={step} isBrief /> : blocks.map(([key, text]) => (
        <Text key={key} text={text} name={`${name}/block/${key}`} fold={CODE} />
      ))}
      {status === "running" && <Made call={step.id} drafts={drafts} />}
    </>
  );
}

function isBlock(value: JsonValue): boolean {
  return typeof value === "string" && value.trim().includes("\n");
}

/** The arguments as the headline has them, without the tool. */
function lineOf(step: Of<"tool_call">): string {
  const short = Object.entries(step.payload.arguments).filter(([, value]) => !isBlock(value));
  const line = headline({ ...step, payload: { ...step.payload, arguments: Object.fromEntries(short) } });
  return line.slice(step.payload.tool.length + 1).replace(/\)$/, "");
}

function ModelCallBody({ step, status, drafts }: CallProperties<"model_call">) {
  const [isOpen, toggle] = useUnfolded(`${step.sequence}/call`);
  const { model, messages, tools } = step.payload;
  const fresh = messages.filter((message) => !message.copied).length;
  const told = [
    amount(messages.length, "message"),
    fresh < messages.length ? `${fresh} new` : null,
    tools.length > 0 ? amount(tools.length, "tool") : null,
  ];
  return (
    <>
      <button className="call-line" aria-expanded={isOpen} onClick={toggle}>
        <b>{model}</b> <span className="soft">{told.filter((part) => part !== null).join(" · ")}</span>
      </button>
      {isOpen && <Payload step={step} isBrief />}
      {status === "running" && <Made call={step.id} drafts={drafts} />}
    </>
  );
}

function amount(of: number, what: string): string {
  return `${of} ${what}${of === 1 ? "" : "s"}`;
}

/** What is being made just now: never stored, and gone when the answer is there. */
function Made({ call, drafts }: { call: string; drafts: Drafts }) {
  useBeat(drafts);
  const made = drafts.of(call);
  if (made.length === 0) return null;
  return (
    <div className="made" aria-live="off">
      {made.map(({ part, text }, at) => (
        <div key={at}>
          <span className="part-name">{part.replace("_", " ")}, being made</span>
          <pre>{text.length > DRAFT_CHARACTERS ? `… ${text.slice(-DRAFT_CHARACTERS)}` : text}</pre>
        </div>
      ))}
    </div>
  );
}

function Handoff({ step }: { step: Of<"handoff"> }) {
  const { recipient, recipient_role: role } = step.payload;
  return (
    <p className="turn handoff">
      <span>{step.role ?? step.agent ?? "somebody"} ⇢ {recipient}{role !== null && role !== recipient && ` (${role})`}</span>
    </p>
  );
}

/** How a call stands, and how long it took. */
function Outcome({ step, status, took }: EntryProperties) {
  if (!opens(step) || status === null) return <span className="entry-outcome" />;
  return (
    <span className="entry-outcome figure">
      <StatusMark status={status} brief={status === "ok"} />
      {took !== null && <span>{duration(took)}</span>}
      {status === "running" && <Elapsed since={step.occurred_at} />}
    </span>
  );
}

function Elapsed({ since }: { since: number }) {
  const now = useNow();
  return <span>{duration(Math.max(0, Math.floor(now / 1e3 - since / 1e9)) * 1e9)}</span>;
}
