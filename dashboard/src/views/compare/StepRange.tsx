/** The steps of one side of a block, a line each; of very many the first. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import { get } from "../../api/client";
import type { StepWindow } from "../../api/schema";
import { count } from "../../steps/figures";
import { StepLine } from "./ComparedStepLine";

const SHOWN_MAX = 60;

/** See above. Nothing where the side has none. */
export function StepRange({ episode, first, last }: { episode: string; first: number | null; last: number | null }) {
  const { data, error } = useQuery({
    queryKey: ["compared steps", episode, first, last],
    queryFn: ({ signal }) =>
      get<StepWindow>(`/episodes/${episode}/steps`, { from: first, to: last, limit: SHOWN_MAX }, signal),
    enabled: first !== null,
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (first === null || last === null) return <span />;
  if (error !== null) return <p className="bad">{error.message}</p>;
  const shown = data?.items ?? [];
  const end = shown.at(-1)?.sequence ?? last;
  return (
    <div className="step-range">
      {data === undefined && <span className="skeleton" />}
      {shown.map((step) => <StepLine key={step.id} episode={episode} sequence={step.sequence} step={step} />)}
      {end < last && <Link href={`/episodes/${episode}?step=${end + 1}`}>and {count(last - end)} more steps in the episode</Link>}
    </div>
  );
}
