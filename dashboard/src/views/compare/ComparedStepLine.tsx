/** A step of one side in a line: what it is, how long it took and what it cost; a press opens it in its episode. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { get } from "../../api/client";
import type { ComparedStep, Step, StepWindow } from "../../api/schema";
import { KindMark } from "../../parts/Marks";
import { count, duration } from "../../steps/figures";
import { headline } from "../../steps/headline";

interface Properties {
  episode: string;
  sequence: number;
  /** Its figures; null where they are not told. */
  compared: ComparedStep | null;
}

/** See above. */
export function ComparedStepLine({ episode, sequence, compared }: Properties) {
  const { data } = useQuery({
    queryKey: ["compared step", episode, sequence],
    queryFn: ({ signal }) => get<StepWindow>(`/episodes/${episode}/steps`, { from: sequence, to: sequence, limit: 1 }, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <div className="compared-step">
      <StepLine episode={episode} sequence={sequence} step={data?.items[0]} />
      {compared !== null && <span className="faint figure">{figuresOf(compared).join(" · ")}</span>}
    </div>
  );
}

/** The line itself; a bar where the step is awaited. */
export function StepLine({ episode, sequence, step }: { episode: string; sequence: number; step: Step | undefined }) {
  return (
    <p className="step-line">
      <Link href={`/episodes/${episode}?step=${sequence}`} className="figure">#{sequence}</Link>
      {step === undefined ? <span className="skeleton" /> : (
        <>
          <KindMark kind={step.kind} />
          <span className="faint">{step.role ?? step.agent}</span>
          <span className="clip" title={headline(step)}>{headline(step)}</span>
        </>
      )}
    </p>
  );
}

function figuresOf({ duration_ns: took, tokens, cost, closing_sequence: closing }: ComparedStep): string[] {
  const figures = [];
  if (took !== null) figures.push(duration(took));
  if (tokens !== null) figures.push(`${count(tokens)} tokens`);
  if (cost !== null) figures.push(`cost ${cost.toPrecision(3)}`);
  if (closing !== null) figures.push(`closed by #${closing}`);
  return figures;
}
