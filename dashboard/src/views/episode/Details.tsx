/** One step in full, with the other half of what takes time, beside the list, which it never moves. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { get } from "../../api/client";
import type { Episode, Step, StepContext, StepWindow } from "../../api/schema";
import { KindMark } from "../../parts/Marks";
import { Trouble } from "../../parts/Trouble";
import { useKeys } from "../../parts/keys";
import { copyText } from "../../payload/CopyButton";
import { Payload } from "../../payload/Payload";
import { Unfolded } from "../../payload/unfolded";
import { DetailsHead } from "./details/DetailsHead";
import { Links, Origins, Raw } from "./details/Particulars";
import { type Pair, opens, pairOf } from "./details/pair";
import "./details/details.css";

const RENEW_MS = 1_000;
const SAID_MS = 1_500;

interface Properties {
  episode: Episode;
  sequence: number;
  onChoose(sequence: number | null): void;
}

/** See above. */
export function Details({ episode, sequence, onChoose }: Properties) {
  const isRunning = episode.status === "running";
  const { data, error, refetch } = useQuery({
    queryKey: ["step", episode.id, sequence],
    queryFn: ({ signal }) => contextOf(episode.id, sequence, signal),
    placeholderData: keepPreviousData,
    // What is open is asked for until it is closed; what is over never changes.
    refetchInterval: ({ state }) => (isRunning && state.data && isOpen(state.data) ? RENEW_MS : false),
  });
  const unfolded = useMemo(() => ({ names: new Map<string, boolean>() }), []);
  return (
    <aside className="details" aria-label="Step" tabIndex={-1}>
      <Unfolded value={unfolded}>
        {data ? <StepDetails context={data} episode={episode} onChoose={onChoose} /> : null}
        {error && !data ? <Trouble error={error} onRetry={() => void refetch()} /> : null}
      </Unfolded>
    </aside>
  );
}

function isOpen({ step, closer }: StepContext): boolean {
  return opens(step) && closer === null;
}

async function contextOf(episode: string, sequence: number, signal: AbortSignal): Promise<StepContext> {
  const found = await get<StepWindow>(`/episodes/${episode}/steps`, { from: sequence, to: sequence, limit: 1 }, signal);
  const [step] = found.items;
  if (step === undefined) throw new Error(`There is no step ${sequence} yet; the last one is ${found.steps - 1}.`);
  return get<StepContext>(`/steps/${step.id}`, {}, signal);
}

function StepDetails({ context, episode, onChoose }: { context: StepContext; episode: Episode; onChoose(sequence: number | null): void }) {
  const { step } = context;
  const pair = pairOf(context, episode.status === "running");
  const [said, setSaid] = useState<string | null>(null);
  const copy = async (what: string, text: string): Promise<void> => {
    setSaid((await copyText(text)) ? `${what} copied` : "the browser lets nothing be copied");
    setTimeout(() => setSaid(null), SAID_MS);
  };
  const copyLink = (): void => {
    const link = new URL(location.href);
    link.searchParams.set("step", String(step.sequence));
    void copy("link", link.href);
  };
  const copyJson = (): void => void copy("JSON", JSON.stringify(step, null, 2));
  useKeys({
    c: copyLink,
    y: copyJson,
    o: () => { if (pair.partner !== null) onChoose(pair.partner.sequence); },
  });
  return (
    <>
      <DetailsHead
        step={step}
        pair={pair}
        episode={episode}
        said={said}
        onChoose={onChoose}
        onCopyLink={copyLink}
        onCopyJson={copyJson}
      />
      <Halves step={step} pair={pair} />
      <Links step={step} pair={pair} onChoose={onChoose} />
      <Origins step={step} />
      <Raw key={step.id} step={step} />
    </>
  );
}

/** A call together with what came of it, whichever was chosen. */
function Halves({ step, pair: { alone, opener, closer, status } }: { step: Step; pair: Pair }) {
  if (alone !== null) return <section key={alone.id}><Payload step={alone} /></section>;
  return (
    <>
      {opener !== null && (
        <section key={opener.id} className={opener.id === step.id ? "half current" : "half"} aria-label="Call">
          <h3><KindMark kind={opener.kind} /> <b>{opener.kind === "tool_call" ? String(opener.payload.tool) : null}</b></h3>
          <Payload step={opener} />
        </section>
      )}
      {closer === null
        ? <p className="faint">{status === "running" ? "still open" : "cut off: nothing ever closed it"}</p>
        : (
          <section key={closer.id} className={closer.id === step.id ? "half current" : "half"} aria-label="What came of it">
            <h3><KindMark kind={closer.kind} /></h3>
            <Payload step={closer} />
          </section>
        )}
    </>
  );
}
