/** What a step says, drawn by its kind: in full for the details, or its beginning for the transcript. */

import type { ArtifactRef, CoreStep, PlanItem, Step, StatusChange } from "../api/schema";
import { Artifact } from "../artifact/Artifact";
import { isCore } from "../steps/headline";
import { BriefFailure, Failure } from "./Failure";
import { Answer, Question } from "./Model";
import { OwnKind } from "./OwnKind";
import { Text } from "./Text";
import { Result, Row, Values } from "./Values";
import "./payload.css";

const BRIEF_WORDS = { lines: 12, characters: 1_100 };
const WORDS = { lines: 200, characters: 20_000 };

interface Properties {
  step: Step;
  isBrief?: boolean;
}

/** See above. */
export function Payload({ step, isBrief = false }: Properties) {
  const name = `${step.sequence}`;
  if (!isCore(step)) return <OwnKind step={step} name={name} isBrief={isBrief} />;
  return <CorePayload step={step} name={name} isBrief={isBrief} />;
}

function CorePayload({ step, name, isBrief }: { step: CoreStep; name: string; isBrief: boolean }) {
  const words = (text: string) => <Text text={text} name={`${name}/text`} fold={isBrief ? BRIEF_WORDS : WORDS} isWords />;
  switch (step.kind) {
    case "thought":
      return words(step.payload.text);
    case "tool_call":
      return (
        <>
          <Values values={step.payload.arguments} name={`${name}/arguments`} isBrief={isBrief} />
          <Kept artifacts={step.payload.artifacts} unstorable={step.payload.unstorable} name={name} />
        </>
      );
    case "observation":
      return (
        <>
          {step.payload.cancelled
            ? <p className="faint">⊘ cancelled before it had a result</p>
            : <Result value={step.payload.result} name={`${name}/result`} isBrief={isBrief} />}
          <Kept artifacts={step.payload.artifacts} unstorable={step.payload.unstorable} name={name} />
        </>
      );
    case "error_report":
      return isBrief ? <BriefFailure report={step.payload} name={name} /> : <Failure report={step.payload} name={name} />;
    case "model_call":
      return <Question call={step.payload} name={name} />;
    case "model_reply":
      return <Answer reply={step.payload} name={name} isBrief={isBrief} />;
    case "message":
    case "handoff":
    case "feedback":
    case "intervention":
      return <Said step={step} name={name} words={words} />;
    case "plan_update":
      return <Plan items={step.payload.items} />;
    case "status_change":
      return <Change change={step.payload} name={name} />;
    case "artifact_attached":
      return <Artifact artifact={step.payload.artifact} name={name} isOpen={!isBrief} />;
    case "log_line":
      return (
        <>
          <p className="log-line mono"><span className={`log-level level-${step.payload.level}`}>{step.payload.level}</span> <span className="soft">{step.payload.logger}</span></p>
          <Text text={step.payload.text} name={`${name}/text`} fold={isBrief ? BRIEF_WORDS : WORDS} />
          {Object.keys(step.payload.fields).length > 0 && <Values values={step.payload.fields} name={`${name}/fields`} isBrief={isBrief} />}
          {step.payload.file !== null && <p className="faint mono">{step.payload.file}{step.payload.line !== null && `:${step.payload.line}`}</p>}
        </>
      );
    case "loss": {
      const { first, last, reason, detail, kept_as: keptAs, recorder_id: recorder } = step.payload;
      const which = last === null ? `from ${first} on` : first === last ? `${first}` : `${first} to ${last}`;
      return (
        <>
          <p><b className="bad">Steps are missing</b>: {reason}. {detail}</p>
          <dl className="values">
            <Row label="numbers">{which}</Row>
            <Row label="recorder"><span className="mono">{recorder}</span></Row>
            {keptAs !== null && <Row label="kept as"><span className="mono">{keptAs}</span></Row>}
          </dl>
        </>
      );
    }
  }
}

type Spoken = Extract<CoreStep, { kind: "message" | "handoff" | "feedback" | "intervention" }>;

/** What persons and agents say to each other. */
function Said({ step, name, words }: { step: Spoken; name: string; words(text: string): React.ReactNode }) {
  switch (step.kind) {
    case "message":
      return <><p className="soft">{step.payload.author}{step.payload.recipient !== null && ` to ${step.payload.recipient}`}</p>{words(step.payload.text)}</>;
    case "handoff":
      return <><p className="soft">to <b>{step.payload.recipient}</b>{step.payload.recipient_role !== null && step.payload.recipient_role !== step.payload.recipient && ` (${step.payload.recipient_role})`}</p>{step.payload.message !== "" && words(step.payload.message)}</>;
    case "feedback": {
      const { author, label, score, reward, comment } = step.payload;
      const figures = [label, score === null ? null : `score ${score}`, reward === null ? null : `reward ${reward}`].filter((part) => part !== null);
      return <><p><span className="soft">{author}</span> <b>{figures.join(" · ")}</b></p>{comment !== null && words(comment)}</>;
    }
    case "intervention": {
      const { author, action, text, edited_arguments: edited } = step.payload;
      return (
        <>
          <p><b>{action}</b> <span className="soft">by {author}</span></p>
          {text !== null && words(text)}
          {edited !== null && <Values values={edited} name={`${name}/edited`} />}
        </>
      );
    }
  }
}

const PLAN = { pending: ["○", "to do"], active: ["◐", "being done"], done: ["●", "done"], dropped: ["⊘", "dropped"] } as const;

/** The plan as it stands. */
function Plan({ items }: { items: PlanItem[] }) {
  return (
    <ul className="plan">
      {items.map((item, at) => {
        const [glyph, word] = PLAN[item.status];
        return <li key={at} className={`plan-${item.status}`}><span aria-hidden title={word}>{glyph}</span><span className="unseen">{word}: </span>{item.text}</li>;
      })}
    </ul>
  );
}

function Change({ change: { status, reason, start, end }, name }: { change: StatusChange; name: string }) {
  const told = end === null ? [] : [end.outcome, end.score === null ? null : `score ${end.score}`, end.ending].filter((part) => part !== null);
  return (
    <>
      <p><b>{status}</b>{told.length > 0 && ` · ${told.join(" · ")}`}{reason !== null && <span className="soft"> · {reason}</span>}</p>
      {end !== null && end.open_steps.length > 0 && <p className="faint">{end.open_steps.length} calls were still open</p>}
      {start !== null && <Values values={given(start)} name={`${name}/start`} />}
    </>
  );
}

/** What was stated; what was left out stays out. */
function given(start: NonNullable<StatusChange["start"]>): Parameters<typeof Values>[0]["values"] {
  const { metadata, code_version: code, data_use: use, tags, parent_id: parent, name, problem, attempt } = start;
  return {
    name, problem, attempt,
    ...(parent === null ? {} : { parent }),
    ...(tags.length === 0 ? {} : { tags: tags.join(", ") }),
    ...(metadata === null ? {} : { metadata: metadata.value }),
    ...(code === null ? {} : { code: { ...code } }),
    ...(use === null ? {} : { data_use: { ...use } }),
  };
}

/** Files that stand for what was too long, and places of what could not be kept. */
function Kept({ artifacts, unstorable, name }: { artifacts: ArtifactRef[]; unstorable: string[]; name: string }) {
  return (
    <>
      {artifacts.map((artifact) => <Artifact key={artifact.sha256} artifact={artifact} name={`${name}/${artifact.sha256}`} />)}
      {unstorable.length > 0 && (
        <p className="faint">Could not be kept as {unstorable.length === 1 ? "it was" : "they were"}: <code>{unstorable.slice(0, 10).join(", ")}{unstorable.length > 10 && ", …"}</code></p>
      )}
    </>
  );
}
