/** Who worked on it, and what is open now: the roles of an episode with their figures. */

import { useQuery } from "@tanstack/react-query";

import { get } from "../../api/client";
import type { Episode, RoleGraph } from "../../api/schema";
import { count } from "../../steps/figures";

const RENEW_MS = 3_000;

interface Properties {
  episode: Episode;
  chosen: number | null;
  onChoose(sequence: number | null): void;
}

/** See above. */
export function Outline({ episode }: Properties) {
  const { data } = useQuery({
    queryKey: ["roles", episode.id],
    queryFn: ({ signal }) => get<RoleGraph>(`/episodes/${episode.id}/roles`, {}, signal),
    refetchInterval: episode.status === "running" ? RENEW_MS : false,
  });
  return (
    <aside className="outline" aria-label="Roles">
      <h2>Roles</h2>
      <ul>
        {data?.nodes.map((node) => (
          <li key={node.name} className={node.name === data.current ? "current" : ""}>
            <span className="clip">{node.name}</span>
            <span className="faint figure">{count(node.steps)}</span>
            {node.errors > 0 && <span className="bad figure">{count(node.errors)} ✕</span>}
          </li>
        ))}
      </ul>
    </aside>
  );
}
