/** What a model was asked, and what it answered. */

import type { Cost, JsonValue, ModelCall, ModelReply, Usage } from "../api/schema";
import { Artifact } from "../artifact/Artifact";
import { count } from "../steps/figures";
import { Chat, Parts, Tools } from "./Chat";
import { figure } from "./preview";
import { Text } from "./Text";
import { Values } from "./Values";

const PROMPT = { lines: 6, characters: 600 };

/** The question: settings, conversation, tools. */
export function Question({ call, name }: { call: ModelCall; name: string }) {
  const settings = settingsOf(call);
  return (
    <div className="stack">
      <p><b>{call.model}</b>{call.provider !== null && <span className="faint"> from {call.provider}</span>}</p>
      {Object.keys(settings).length > 0 && <Values values={settings} name={`${name}/settings`} />}
      <Chat messages={call.messages} name={`${name}/messages`} />
      <Tools tools={call.tools} name={`${name}/tools`} />
      {call.rendered_prompt !== null && (
        <div><span className="part-name">exact prompt</span><Text text={call.rendered_prompt} name={`${name}/prompt`} fold={PROMPT} /></div>
      )}
      {call.prompt_tokens !== null && (
        <div><span className="part-name">{count(call.prompt_tokens.count)} token ids</span><Artifact artifact={call.prompt_tokens.artifact} name={`${name}/ids`} /></div>
      )}
    </div>
  );
}

/** The answer: content, reasoning, tools it asks for; what it took. */
export function Answer({ reply, name, isBrief = false }: { reply: ModelReply; name: string; isBrief?: boolean }) {
  const tokens = [["token ids", reply.completion_tokens], ["log-probabilities", reply.log_probabilities]] as const;
  return (
    <div className="stack">
      {reply.cancelled && <p className="faint">cancelled before it had a reply</p>}
      {reply.message !== null && <Parts message={reply.message} name={`${name}/message`} isBrief={isBrief} />}
      <p className="faint figure">{figuresOf(reply).join(" · ")}</p>
      {!isBrief && reply.rendered_completion !== null && (
        <div><span className="part-name">exact completion</span><Text text={reply.rendered_completion} name={`${name}/completion`} fold={PROMPT} /></div>
      )}
      {!isBrief && tokens.map(([what, array]) => array !== null && (
        <div key={what}><span className="part-name">{count(array.count)} {what}</span><Artifact artifact={array.artifact} name={`${name}/${what}`} /></div>
      ))}
    </div>
  );
}

/** Settings that were given; what was left to the provider is left out. */
export function settingsOf({ sampling, identity }: ModelCall): { [key: string]: JsonValue } {
  const { other, ...known } = sampling ?? { other: {} };
  const given = { ...known, ...other, ...identity };
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0)),
  );
}

/** What an answer took, part by part. */
export function figuresOf({ model, finish_reason, provider_finish_reason, usage, cost }: ModelReply): string[] {
  const reason = finish_reason?.replace("_", " ") ?? null;
  const own = provider_finish_reason === null || provider_finish_reason === finish_reason ? "" : ` (${provider_finish_reason})`;
  return [
    model,
    ...(usage ? usageOf(usage) : []),
    cost ? costOf(cost) : null,
    reason === null ? null : `ended: ${reason}${own}`,
  ].filter((part) => part !== null);
}

function usageOf(usage: Usage): string[] {
  const { input_tokens: sent, output_tokens: made, cached_input_tokens: cached, cache_write_tokens: written, reasoning_tokens: thought } = usage;
  return [
    sent === null ? null : `${count(sent)} tokens in${cached ? ` (${count(cached)} cached)` : ""}${written ? ` (${count(written)} written to cache)` : ""}`,
    made === null ? null : `${count(made)} out${thought ? ` (${count(thought)} reasoning)` : ""}`,
  ].filter((part) => part !== null);
}

function costOf({ amount, currency, source }: Cost): string {
  return `${figure(amount)} ${currency}${source ? ` by ${source}` : ""}`;
}
