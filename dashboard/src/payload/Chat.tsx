/** A conversation with a model: who says what, its parts in their order, and the tools that were offered. */

import type { ChatMessage, ToolDefinition } from "../api/schema";
import { Artifact } from "../artifact/Artifact";
import { count } from "../steps/figures";
import { JsonTree } from "./JsonTree";
import { Text } from "./Text";
import { Result, Values } from "./Values";
import { useUnfolded } from "./unfolded";

const SAID = { lines: 30, characters: 4_000 };
const BRIEF = { lines: 10, characters: 900 };
const REASONING = { lines: 3, characters: 240 };

type Part = ChatMessage["parts"][number];

/** Messages in their order; those that were sent before are folded into one line. */
export function Chat({ messages, name }: { messages: ChatMessage[]; name: string }) {
  return (
    <ol className="chat" aria-label="Messages">
      {runs(messages).map(({ isCopied, first, run }) =>
        isCopied
          ? <Copied key={first} messages={run} name={`${name}/${first}`} />
          : run.map((message, at) => <li key={first + at}><Said message={message} name={`${name}/${first + at}`} /></li>))}
    </ol>
  );
}

/** Messages in a row that were all sent before, or all not. */
function runs(messages: ChatMessage[]): { isCopied: boolean; first: number; run: ChatMessage[] }[] {
  const found: { isCopied: boolean; first: number; run: ChatMessage[] }[] = [];
  for (const [at, message] of messages.entries()) {
    const latest = found.at(-1);
    if (latest?.isCopied === message.copied) latest.run.push(message);
    else found.push({ isCopied: message.copied, first: at, run: [message] });
  }
  return found;
}

function Copied({ messages, name }: { messages: ChatMessage[]; name: string }) {
  const [isOpen, toggle] = useUnfolded(name);
  return (
    <>
      <li>
        <button className="fold" aria-expanded={isOpen} onClick={toggle}>
          {isOpen ? "fold" : "show"} {count(messages.length)} earlier {messages.length === 1 ? "message" : "messages"}, repeated here
        </button>
      </li>
      {isOpen && messages.map((message, at) => <li key={at} className="copied"><Said message={message} name={`${name}/${at}`} /></li>)}
    </>
  );
}

/** One message with its speaker. */
function Said({ message, name }: { message: ChatMessage; name: string }) {
  return (
    <div className={`said said-${message.role}`}>
      <span className="said-role">{message.role}{message.name !== null && ` · ${message.name}`}</span>
      <Parts message={message} name={name} />
    </div>
  );
}

/** The parts of a message. */
export function Parts({ message, name, isBrief = false }: { message: ChatMessage; name: string; isBrief?: boolean }) {
  if (message.parts.length === 0) return <p className="faint">no content</p>;
  return (
    <div className="parts">
      {message.parts.map((part, at) => <OnePart key={at} part={part} name={`${name}/part${at}`} isBrief={isBrief} />)}
    </div>
  );
}

function OnePart({ part, name, isBrief }: { part: Part; name: string; isBrief: boolean }) {
  switch (part.type) {
    case "text":
      return <Text text={part.text} name={name} fold={isBrief ? BRIEF : SAID} isWords />;
    case "reasoning":
      if (part.text === "") return <p className="faint">{part.encrypted === null ? "no reasoning" : "reasoning, encrypted by the provider"}</p>;
      return <div className="reasoning"><span className="part-name">reasoning</span><Text text={part.text} name={name} fold={REASONING} isWords /></div>;
    case "tool_call":
      return (
        <div>
          <span className="part-name">asks for <b>{part.name}</b></span>
          {part.unparsed === null
            ? <Values values={part.arguments} name={name} isBrief={isBrief} />
            : <Text text={part.unparsed} name={name} fold={SAID} />}
        </div>
      );
    case "tool_result":
      return (
        <div>
          <span className={`part-name${part.is_error ? " bad" : ""}`}>{part.is_error ? "✕ tool failed" : "tool answered"}</span>
          <Result value={part.result} name={name} isBrief />
        </div>
      );
    case "file":
      return part.artifact === null
        ? <p className="words"><span className="part-name">{part.media_type}</span> {part.uri ?? "without an address"}</p>
        : <Artifact artifact={part.artifact} name={name} />;
    case "other":
      return <JsonTree value={part.value} name={name} label={part.name} />;
  }
}

/** The tools offered to a model, folded. */
export function Tools({ tools, name }: { tools: ToolDefinition[]; name: string }) {
  const [isOpen, toggle] = useUnfolded(name);
  if (tools.length === 0) return null;
  return (
    <div className="tools-offered">
      <button className="fold" aria-expanded={isOpen} onClick={toggle}>
        {isOpen ? "fold the tools" : `${count(tools.length)} ${tools.length === 1 ? "tool" : "tools"} offered: ${tools.slice(0, 6).map((tool) => tool.name).join(", ")}${tools.length > 6 ? ", …" : ""}`}
      </button>
      {isOpen && tools.map((tool) => (
        <div key={tool.name} className="tool-offered">
          <b>{tool.name}</b>
          {tool.description !== null && <Text text={tool.description} name={`${name}/${tool.name}/words`} fold={BRIEF} isWords />}
          <JsonTree value={tool.parameters} name={`${name}/${tool.name}`} label="parameters" />
        </div>
      ))}
    </div>
  );
}
