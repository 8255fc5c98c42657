/** The left of an episode: who worked on it, and phase by phase who did what. */

import type { Episode } from "../../api/schema";
import { Phases } from "./outline/Phases";
import { Roles } from "./outline/Roles";
import { useRoles } from "./outline/roles";
import type { Skeleton } from "./outline/skeleton";
import "./outline/outline.css";

interface Properties {
  skeleton: Skeleton;
  episode: Episode;
  chosen: number | null;
  filter: string;
  onChoose(sequence: number): void;
  onFilter(filter: string): void;
}

/** See above. */
export function Outline({ skeleton, episode, chosen, filter, onChoose, onFilter }: Properties) {
  const { roles, isRenewed } = useRoles(episode);
  return (
    <aside className="outline" aria-label="Outline">
      <section>
        <h2>Roles</h2>
        {roles && (
          <Roles
            nodes={roles.nodes}
            current={episode.status === "running" ? roles.current : null}
            filter={filter}
            onFilter={onFilter}
          />
        )}
        {!isRenewed && <p className="faint outline-note">Counted when the page was opened.</p>}
      </section>
      <Phases skeleton={skeleton} episode={episode} chosen={chosen} onChoose={onChoose} />
    </aside>
  );
}
