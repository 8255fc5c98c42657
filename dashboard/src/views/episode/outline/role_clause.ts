/** The clause that narrows steps to a role. */

import type { RoleNode } from "../../../api/schema";
import { clauseOf } from "../../episodes/clauses";

/** See above. Where no role is stated an agent stands for one, under its own name. */
export function roleClause({ name, agents }: Pick<RoleNode, "name" | "agents">): string {
  return clauseOf(agents.length === 1 && agents[0] === name ? "agent" : "role", name);
}
