/** Plots of an episode over its time: tokens, cost, context and latency, under one cursor. */

import { useEffect, useMemo, useState } from "react";

import { address } from "../../../api/client";
import type { Episode } from "../../../api/schema";
import { useParameter } from "../../../parts/parameter";
import { Trouble } from "../../../parts/Trouble";
import { useBeat } from "../../../parts/useBeat";
import { count, duration } from "../../../steps/figures";
import type { Skeleton } from "../outline/skeleton";
import type { StepsProperties } from "../StepTable";
import { costsSoFar, latenciesOf, namesOf, tokensOf, tokensSoFar } from "./curves";
import { type Pen, Plot } from "./Plot";
import { Replies } from "./replies";
import "./plots.css";

const SUMS: readonly Pen[] = [
  { name: "input", colour: "hue-model", shape: "line" },
  { name: "output", colour: "hue-tool", shape: "dashes" },
];
const CALLS: readonly Pen[] = [
  { name: "context (input)", colour: "hue-model", shape: "triangle" },
  { name: "output", colour: "hue-tool", shape: "circle" },
];
const LATENCIES: readonly Pen[] = [
  { name: "tools", colour: "hue-tool", shape: "circle" },
  { name: "models", colour: "hue-model", shape: "triangle" },
  { name: "failed", colour: "bad", shape: "cross" },
];
const NAMES_MAX = 12;

interface Properties extends Omit<StepsProperties, "log"> {
  skeleton: Skeleton;
  /** The moment of the playhead; ns from the episode's beginning. */
  moment: number | null;
}

/** See above. */
export default function Plots({ episode, skeleton, chosen, moment, onChoose }: Properties) {
  const replies = useReplies(episode);
  useBeat(skeleton);
  const node = useMemo(
    () => (chosen === null ? undefined : skeleton.nodes.findLast(({ sequence }) => sequence <= chosen)),
    [chosen, skeleton.nodes],
  );
  const marked = moment ?? (node ? (node.closing_sequence === chosen && node.ended_at !== null ? node.ended_at : node.started_at) - episode.started_at : null);
  const end = Math.max(1e6, (episode.ended_at ?? episode.last_at) - episode.started_at) / 1e9;
  const shared = { end, marked: marked === null ? null : marked / 1e9, onChoose };
  if (replies === null) return null;
  if (replies.error !== null && replies.all.length === 0) return <Trouble error={replies.error} onRetry={() => replies.renew()} />;
  return (
    <div className="plots">
      <p className="plots-told faint figure">
        <span role="status">{readOf(replies, skeleton)}</span>
        <span className="stretch" />
        <a className="faint" href={address("/steps", { episode: episode.id, filter: "kind:model_reply" })}>JSON</a>
      </p>
      <ReplyPlots replies={replies} {...shared} />
      <LatencyPlot skeleton={skeleton} began={episode.started_at} {...shared} />
    </div>
  );
}

/** What was read, and what was not. */
function readOf(replies: Replies, skeleton: Skeleton): string {
  const parts = [
    replies.isLoading ? "reading what the models answered" : null,
    replies.isTruncated ? `only the first ${count(replies.all.length)} model replies are plotted` : null,
    skeleton.isTruncated ? `latencies among the first ${count(skeleton.nodes.at(-1)?.sequence ?? 0)} of ${count(skeleton.steps)} steps` : null,
    replies.error === null ? null : "not renewed: the server does not answer",
  ];
  return parts.filter(Boolean).join(" · ") || `${count(replies.all.length)} model replies`;
}

interface Shared {
  end: number;
  marked: number | null;
  onChoose(sequence: number): void;
}

function ReplyPlots({ replies, ...shared }: Shared & { replies: Replies }) {
  const { all } = useBeat(replies);
  const sums = useMemo(() => tokensSoFar(all), [all]);
  const calls = useMemo(() => tokensOf(all), [all]);
  const costs = useMemo(() => costsSoFar(all), [all]);
  if (all.length === 0) return replies.isLoading ? null : <p className="soft plots-none">No model answered in this episode, so there are neither tokens nor cost.</p>;
  return (
    <>
      {sums.at.length > 0 ? (
        <>
          <Plot title="Tokens so far" curves={sums} pens={SUMS} format={count} {...shared} />
          <Plot title="Tokens of each model call" curves={calls} pens={CALLS} format={count} {...shared} />
        </>
      ) : <p className="soft plots-none">{count(all.length)} model replies, and none says how many tokens it took.</p>}
      {[...costs].map(([currency, curves]) => <CostPlot key={currency} currency={currency} curves={curves} {...shared} />)}
      {costs.size === 0 && <p className="soft plots-none">No model reply states a cost.</p>}
    </>
  );
}

function CostPlot({ currency, curves, ...shared }: Shared & { currency: string; curves: ReturnType<typeof tokensOf> }) {
  const pens = useMemo<Pen[]>(() => [{ name: currency, colour: "hue-observation", shape: "line" }], [currency]);
  return <Plot title={`Cost so far, ${currency}`} curves={curves} pens={pens} format={amount} {...shared} />;
}

function LatencyPlot({ skeleton, began, ...shared }: Shared & { skeleton: Skeleton; began: number }) {
  const [wanted, choose] = useParameter("of");
  const names = useMemo(() => namesOf(skeleton.nodes), [skeleton.nodes]);
  const of = names.find((name) => name === wanted) ?? null;
  const curves = useMemo(() => latenciesOf(skeleton.nodes, began, of), [skeleton.nodes, began, of]);
  if (names.length === 0) return skeleton.isWhole ? <p className="soft plots-none">No call of a tool or a model was answered.</p> : null;
  return (
    <>
      <Plot title={of === null ? "Latency" : `Latency of ${of}`} curves={curves} pens={LATENCIES} isLogarithmic format={(seconds) => duration(seconds * 1e9)} {...shared} />
      {names.length > 1 && (
        <div className="plots-names" role="group" aria-label="Latency of">
          {names.slice(0, NAMES_MAX).map((name) => (
            <button key={name} className="plain clip" aria-pressed={name === of} onClick={() => choose(name === of ? null : name)}>{name}</button>
          ))}
          {names.length > NAMES_MAX && <span className="faint">and {names.length - NAMES_MAX} more</span>}
        </div>
      )}
    </>
  );
}

/** An amount of money with the digits that are needed. */
function amount(value: number): string {
  return value === 0 ? "0" : value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : String(Number(value.toPrecision(3)));
}

function useReplies({ id, started_at, steps, status }: Episode): Replies | null {
  const [replies, setReplies] = useState<Replies | null>(null);
  useEffect(() => {
    const opened = new Replies(id, started_at);
    setReplies(opened);
    return () => opened.close();
  }, [id, started_at]);
  useEffect(() => replies?.renew(), [replies, steps, status]);
  const [, setVersion] = useState(0);
  useEffect(() => replies?.subscribe(() => setVersion(replies.version())), [replies]);
  return replies;
}
