/** What is plotted of an episode: from replies and calls to columns of figures, each with the step it is of. */

import type { OutlineNode } from "../../../api/schema";
import type { Reply } from "./replies";

/** Columns of one length. */
export interface Curves {
  /** Seconds from the episode's beginning, rising. */
  at: number[];
  /** The step of each. */
  sequences: number[];
  /** What each is about: a model, a tool. */
  names: string[];
  /** The figures, by the name of the curve. */
  figures: Map<string, (number | null)[]>;
}

/** Tokens of each call: what was sent is its context. */
export function tokensOf(replies: readonly Reply[]): Curves {
  const counted = replies.filter(({ input, output }) => input !== null || output !== null);
  return curves(counted, {
    "context (input)": counted.map(({ input }) => input),
    output: counted.map(({ output }) => output),
  });
}

/** Tokens of all calls so far. */
export function tokensSoFar(replies: readonly Reply[]): Curves {
  const counted = replies.filter(({ input, output }) => input !== null || output !== null);
  return curves(counted, {
    input: summed(counted.map(({ input }) => input ?? 0)),
    output: summed(counted.map(({ output }) => output ?? 0)),
  });
}

/** What all calls so far cost, one of these for each currency. */
export function costsSoFar(replies: readonly Reply[]): Map<string, Curves> {
  const currencies = new Set(replies.flatMap(({ cost }) => (cost ? [cost.currency] : [])));
  return new Map([...currencies].sort().map((currency) => {
    const paid = replies.filter(({ cost }) => cost?.currency === currency);
    return [currency, curves(paid, { [currency]: summed(paid.map(({ cost }) => cost?.amount ?? 0)) })];
  }));
}

/** How long each closed call took, in seconds: of tools, of models, and of those that failed. */
export function latenciesOf(nodes: readonly OutlineNode[], began: number, name: string | null): Curves {
  const closed = callsOf(nodes)
    .filter((call) => name === null || call.name === name)
    .map((call) => ({ ...call, at: call.from - began }))
    .sort((a, b) => a.at - b.at);
  const took = (isWanted: (call: Call) => boolean): (number | null)[] =>
    closed.map((call) => (isWanted(call) ? Math.max(1e-6, (call.to - call.from) / 1e9) : null));
  return curves(closed, {
    tools: took((call) => call.kind === "tool_call" && !call.isFailed),
    models: took((call) => call.kind === "model_call" && !call.isFailed),
    failed: took((call) => call.isFailed),
  }, closed.map((call) => call.name));
}

/** The names of what was called, the most frequent first. */
export function namesOf(nodes: readonly OutlineNode[]): string[] {
  const counts = new Map<string, number>();
  for (const { name } of callsOf(nodes)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([name]) => name);
}

interface Call {
  sequence: number;
  kind: string;
  name: string;
  from: number;
  to: number;
  isFailed: boolean;
}

function callsOf(nodes: readonly OutlineNode[]): Call[] {
  return nodes.flatMap(({ sequence, kind, label, status, started_at, ended_at }) =>
    (kind === "tool_call" || kind === "model_call") && ended_at !== null && status !== "cut_off"
      ? [{ sequence, kind, name: label ?? kind, from: started_at, to: ended_at, isFailed: status === "error" }]
      : []);
}

function curves(
  of: readonly { sequence: number; at: number; model?: string | null }[],
  figures: Record<string, (number | null)[]>,
  names?: string[],
): Curves {
  return {
    at: of.map(({ at }) => at / 1e9),
    sequences: of.map(({ sequence }) => sequence),
    names: names ?? of.map(({ model }) => model ?? ""),
    figures: new Map(Object.entries(figures)),
  };
}

function summed(amounts: readonly number[]): number[] {
  let sum = 0;
  return amounts.map((amount) => (sum += amount));
}
