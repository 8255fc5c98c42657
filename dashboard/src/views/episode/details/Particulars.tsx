/** What else is known of a step: what it hangs together with, where it comes from, and all of it as JSON. */

import { useQuery } from "@tanstack/react-query";

import { get } from "../../../api/client";
import type { JsonValue, Step, StepContext, StepWindow } from "../../../api/schema";
import { KindMark } from "../../../parts/Marks";
import { JsonTree } from "../../../payload/JsonTree";
import { Row } from "../../../payload/Values";
import { useUnfolded } from "../../../payload/unfolded";
import { duration, moment } from "../../../steps/figures";
import { headline } from "../../../steps/headline";
import type { Pair } from "./pair";

/** Between a call and what closed it, so many steps are looked through for those that are nested under it. */
const BETWEEN_MAX = 200;

interface Properties {
  step: Step;
  pair: Pair;
  onChoose(sequence: number): void;
}

/** Steps that it is under, and that are under it. */
export function Links({ step, pair, onChoose }: Properties) {
  const upper = pair.opener ?? step;
  const { data: above } = useQuery({
    queryKey: ["step-by-id", upper.parent_id],
    queryFn: ({ signal }) => get<StepContext>(`/steps/${upper.parent_id}`, {}, signal),
    enabled: upper.parent_id !== null,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const nested = useNested(pair);
  if (above === undefined && nested.length === 0) return null;
  return (
    <section>
      <h3>Hangs together with</h3>
      <ul className="step-links">
        {above && <StepLink step={above.step} word="under" onChoose={onChoose} />}
        {nested.map((each) => <StepLink key={each.id} step={each} word="inside" onChoose={onChoose} />)}
      </ul>
    </section>
  );
}

function useNested({ opener, closer }: Pair): Step[] {
  const from = opener === null ? 0 : opener.sequence + 1;
  const to = closer === null ? from + BETWEEN_MAX : Math.min(closer.sequence - 1, from + BETWEEN_MAX);
  const { data } = useQuery({
    queryKey: ["nested", opener?.id, to],
    queryFn: ({ signal }) =>
      get<StepWindow>(`/episodes/${opener?.episode_id}/steps`, { from, to, limit: BETWEEN_MAX }, signal),
    enabled: opener !== null && to >= from,
  });
  return data?.items.filter((step) => step.parent_id === opener?.id && step.closes !== opener?.id) ?? [];
}

function StepLink({ step, word, onChoose }: { step: Step; word: string; onChoose(sequence: number): void }) {
  return (
    <li>
      <button className="step-link" onClick={() => onChoose(step.sequence)}>
        <span className="faint">{word}</span>
        <span className="figure faint">#{step.sequence}</span>
        <KindMark kind={step.kind} brief />
        <span className="clip">{headline(step)}</span>
      </button>
    </li>
  );
}

/** Process, host and the like. */
export function Origins({ step }: { step: Step }) {
  const [isOpen, toggle] = useUnfolded("origin");
  const { origin } = step;
  return (
    <section>
      <h3><button className="fold" aria-expanded={isOpen} onClick={toggle}>{isOpen ? "▾" : "▸"} Origin</button> <span className="faint">process {origin.pid} on {origin.host}</span></h3>
      {isOpen && (
        <dl className="values">
          <Row label="id"><span className="mono">{step.id}</span></Row>
          <Row label="cursor"><span className="figure">{step.cursor}</span></Row>
          <Row label="occurred_at"><span className="figure">{moment(step.occurred_at)}</span></Row>
          <Row label="recorded_at"><span className="figure">{duration(step.recorded_at - step.occurred_at)} later</span></Row>
          <Row label="recorder"><span className="mono">{origin.recorder_id}</span></Row>
          <Row label="schema"><span className="figure">{step.kind} {step.schema_version}</span></Row>
          {step.after_end && <Row label="after_end">logged after the episode had ended</Row>}
        </dl>
      )}
    </section>
  );
}

/** All of it. */
export function Raw({ step }: { step: Step }) {
  const [isOpen, toggle] = useUnfolded("raw");
  return (
    <section>
      <h3><button className="fold" aria-expanded={isOpen} onClick={toggle}>{isOpen ? "▾" : "▸"} JSON</button></h3>
      {/* A step is JSON, as it came. */}
      {isOpen && <JsonTree value={step as unknown as JsonValue} name={`${step.id}/raw`} isOpen />}
    </section>
  );
}
