/** The roles of an episode; a press narrows the steps to one, another takes that back. */

import type { RoleNode } from "../../../api/schema";
import { count } from "../../../steps/figures";
import { clausesOf, toggled } from "../../episodes/clauses";
import { roleClause } from "./role_clause";

interface Properties {
  nodes: readonly RoleNode[];
  /** The role at work, while the episode runs. */
  current: string | null;
  filter: string;
  onFilter(filter: string): void;
}

/** See above. */
export function Roles({ nodes, current, filter, onFilter }: Properties) {
  const clauses = clausesOf(filter);
  return (
    <ul className="roles">
      {nodes.map((node) => {
        const clause = roleClause(node);
        return (
          <li key={node.name}>
            <button
              className={`plain role${node.name === current ? " current" : ""}`}
              aria-pressed={clauses.includes(clause)}
              title={`${node.agents.join(", ")}: ${count(node.steps)} steps. A press filters by ${clause}`}
              onClick={() => onFilter(toggled(filter, clause))}
            >
              <span className="clip">{node.name}</span>
              {node.name === current && <span className="dot" aria-hidden />}
              {node.name === current && <span className="unseen">at work</span>}
              {node.errors > 0 && <span className="bad figure">{count(node.errors)} ✕</span>}
              <span className="faint figure">{count(node.steps)}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
