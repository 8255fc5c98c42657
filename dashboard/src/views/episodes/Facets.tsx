/** Facets: which values the episodes have, counted; a press narrows the list to one, another takes it back. */

import { useQuery } from "@tanstack/react-query";

import { get } from "../../api/client";
import type { EpisodeFacets, FacetValue } from "../../api/schema";
import { count } from "../../steps/figures";
import { clauseOf, clausesOf, toggled } from "./clauses";

const SHOWN_MAX = 8;
const RENEW_MS = 5_000;
const NAMES = ["status", "role", "agent", "problem", "tag"] as const;

/** See above. */
export function Facets({ filter, onFilter }: { filter: string; onFilter(filter: string): void }) {
  const { data } = useQuery({
    queryKey: ["facets", filter],
    queryFn: ({ signal }) => get<EpisodeFacets>("/episodes/facets", { filter }, signal),
    refetchInterval: RENEW_MS,
    placeholderData: (before) => before,
  });
  return (
    <aside className="facets" aria-label="Facets">
      {data && NAMES.map((name) => (
        <Facet key={name} name={name} values={data[name]} filter={filter} onFilter={onFilter} />
      ))}
      {data && !data.is_complete && <p className="faint">Counted among the newest {count(data.episodes)}.</p>}
    </aside>
  );
}

interface Properties {
  name: string;
  values: FacetValue[];
  filter: string;
  onFilter(filter: string): void;
}

function Facet({ name, values, filter, onFilter }: Properties) {
  if (values.length === 0) return null;
  return (
    <section>
      <h2>{name}</h2>
      <ul>
        {values.slice(0, SHOWN_MAX).map(({ value, episodes }) => {
          const clause = clauseOf(name, value);
          const isOn = clausesOf(filter).includes(clause);
          return (
            <li key={value}>
              <button className="plain facet" aria-pressed={isOn} onClick={() => onFilter(toggled(filter, clause))}>
                <span className="clip">{value.replace("_", " ")}</span>
                <span className="faint figure">{count(episodes)}</span>
              </button>
            </li>
          );
        })}
      </ul>
      {values.length > SHOWN_MAX && <p className="faint">and {values.length - SHOWN_MAX} more</p>}
    </section>
  );
}
