/** The roles of an episode as a graph: who worked how much, to whom the work went, and where it went in circles. */

import { address } from "../../../api/client";
import type { Episode, RoleGraph } from "../../../api/schema";
import { Trouble } from "../../../parts/Trouble";
import { count } from "../../../steps/figures";
import { clausesOf, toggled } from "../../episodes/clauses";
import { roleClause } from "../outline/role_clause";
import { useRoles } from "../outline/roles";
import { BOX, type GraphLayout, layoutOf, type PlacedRole, type Way } from "./layout";
import "./graph.css";

interface Properties {
  episode: Episode;
  filter: string;
  /** Show the steps that pass another filter. */
  onFilter(filter: string): void;
}

/** See above. */
export default function Graph({ episode, filter, onFilter }: Properties) {
  const { roles, error, isRenewed } = useRoles(episode);
  if (roles === undefined) return error ? <Trouble error={error} /> : null;
  if (roles.nodes.length === 0) return <p className="note soft">No step of this episode says who logged it.</p>;
  const layout = layoutOf(roles.nodes, roles.edges);
  const current = episode.status === "running" ? roles.current : null;
  const press = (clause: string): void => onFilter(toggled(filter, clause));
  return (
    <div className="graph">
      <p className="graph-told faint">
        <span><i className="graph-line" aria-hidden /> with a handoff</span>
        <span><i className="graph-line changed" aria-hidden /> another role logged the next step</span>
        <span><span aria-hidden>↺</span> back to a role that worked before</span>
        {!isRenewed && <span>counted when the page was opened</span>}
        <span className="stretch" />
        <a className="faint" href={address(`/episodes/${episode.id}/roles`)}>JSON</a>
      </p>
      <div className="graph-sheet">
        <div className="graph-drawn" style={{ width: layout.width, height: layout.height }}>
          <Ways layout={layout} />
          {layout.roles.map((role) => (
            <RoleBox
              key={role.node.name}
              role={role}
              isCurrent={role.node.name === current}
              isPressed={clausesOf(filter).includes(roleClause(role.node))}
              onPress={() => press(roleClause(role.node))}
            />
          ))}
        </div>
      </div>
      <Tables roles={roles} ways={layout.ways} />
    </div>
  );
}

function Ways({ layout: { ways, width, height } }: { layout: GraphLayout }) {
  return (
    <svg width={width} height={height} aria-hidden>
      <defs>
        {["on", "back"].map((name) => (
          <marker key={name} id={`graph-${name}`} className={name} viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto">
            <path d="M 0 0.5 L 8 4 L 0 7.5 z" />
          </marker>
        ))}
      </defs>
      {ways.map((way) => (
        <g key={`${way.source}\n${way.target}`} className={`way${way.isBack ? " back" : ""}${way.handoffs ? "" : " changed"}`}>
          <path d={way.path} markerEnd={`url(#graph-${way.isBack ? "back" : "on"})`} strokeWidth={1.2 + Math.min(3, Math.log2(1 + way.handoffs + way.changes) * 0.35)} />
          <text x={way.x} y={way.y}>{wordsOf(way)}</text>
        </g>
      ))}
    </svg>
  );
}

function wordsOf({ handoffs, changes, isBack }: Way): string {
  const of = (amount: number, word: string): string | null => (amount ? `${count(amount)} ${word}${amount === 1 ? "" : "s"}` : null);
  return `${isBack ? "↺ " : ""}${[of(handoffs, "handoff"), of(changes, "change")].filter(Boolean).join(", ")}`;
}

interface BoxProperties {
  role: PlacedRole;
  isCurrent: boolean;
  isPressed: boolean;
  onPress(): void;
}

function RoleBox({ role: { node, x, y }, isCurrent, isPressed, onPress }: BoxProperties) {
  return (
    <button
      className={`role-box${isCurrent ? " current" : ""}`}
      style={{ left: x - BOX.width / 2, top: y - BOX.height / 2, width: BOX.width, height: BOX.height }}
      aria-pressed={isPressed}
      title={`${node.agents.join(", ")}. A press shows its steps in the table`}
      onClick={onPress}
    >
      <strong className="clip">{node.name}</strong>
      <span className="figure bad">{node.errors > 0 && `${count(node.errors)} ✕`}</span>
      <span className="figure soft clip">{count(node.steps)} steps, {count(node.tool_calls)} tool calls</span>
      {isCurrent && <span className="chip">at work</span>}
    </button>
  );
}

function Tables({ roles: { nodes, current }, ways }: { roles: RoleGraph; ways: Way[] }) {
  return (
    <div className="graph-tables">
      <table className="figure">
        <caption>Roles</caption>
        <thead><tr>{["Role", "Agents", "Steps", "Tool calls", "Errors"].map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={node.name}>
              <th scope="row">{node.name}{node.name === current && <span className="unseen">, logged last</span>}</th>
              <td>{node.agents.join(", ")}</td>
              <td>{count(node.steps)}</td>
              <td>{count(node.tool_calls)}</td>
              <td className={node.errors ? "bad" : ""}>{count(node.errors)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {ways.length > 0 && (
        <table className="figure">
          <caption>Where work went</caption>
          <thead><tr>{["From", "To", "Handoffs", "Changes"].map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
          <tbody>
            {ways.map((way) => (
              <tr key={`${way.source}\n${way.target}`}>
                <th scope="row">{way.source}</th>
                <td>{way.isBack && "↺ "}{way.target}</td>
                <td>{count(way.handoffs)}</td>
                <td>{count(way.changes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
