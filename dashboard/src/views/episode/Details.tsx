/** One step in full, beside the list, which it never moves. */

import { useQuery } from "@tanstack/react-query";

import { get } from "../../api/client";
import type { Episode, StepWindow } from "../../api/schema";

interface Properties {
  episode: Episode;
  sequence: number;
  onChoose(sequence: number | null): void;
}

/** See above. */
export function Details({ episode, sequence, onChoose }: Properties) {
  const { data } = useQuery({
    queryKey: ["step", episode.id, sequence],
    queryFn: ({ signal }) =>
      get<StepWindow>(`/episodes/${episode.id}/steps`, { from: sequence, to: sequence, limit: 1 }, signal),
  });
  const step = data?.items[0];
  return (
    <aside className="details" aria-label="Step">
      <button className="plain" onClick={() => onChoose(null)} aria-label="Close the details">✕</button>
      {step && <pre>{JSON.stringify(step, null, 2)}</pre>}
    </aside>
  );
}
