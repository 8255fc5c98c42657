/**
 * Where roles and what goes between them stand: columns from left to right, in the order in which work first went
 * on, and what goes back drawn below. For some twenty roles; must not know how it is drawn.
 */

import type { RoleEdge, RoleNode } from "../../../api/schema";

/** Size of a role's box, and the room between boxes, in pixels. */
export const BOX = { width: 196, height: 62 };
const ACROSS = 190;
const DOWN = 46;
const MARGIN = 14;
/** How far a way around swings out, for each column it passes. */
const SWING = 44;
const PORT = 12;
/** How far from a box the words of a way stand. */
const WORDS = 76;

/** A role with the middle of its box. */
export interface PlacedRole {
  node: RoleNode;
  x: number;
  y: number;
}

/** All that went from one role to another. */
export interface Way {
  source: string;
  target: string;
  handoffs: number;
  changes: number;
  /** Whether it goes back to where work was before. */
  isBack: boolean;
  /** As SVG draws it. */
  path: string;
  /** Where its words stand. */
  x: number;
  y: number;
}

/** See above. */
export interface GraphLayout {
  roles: PlacedRole[];
  ways: Way[];
  width: number;
  height: number;
}

/** See above. */
export function layoutOf(nodes: readonly RoleNode[], edges: readonly RoleEdge[]): GraphLayout {
  const columns = columnsOf(nodes, edges);
  const pairs = pairsOf(nodes, edges);
  const spans = (isBack: boolean): number[] => pairs.filter((pair) => pair.isBack === isBack).map(({ source, target }) =>
    Math.abs((columns.get(source) ?? 0) - (columns.get(target) ?? 0)));
  const above = Math.max(0, ...spans(false).map((span) => span - 1)) * SWING;
  const below = Math.max(0, ...spans(true).map((span) => span - 1)) * SWING + 13;
  const held = new Map<number, number>();
  for (const column of columns.values()) held.set(column, (held.get(column) ?? 0) + 1);
  const rows = Math.max(1, ...held.values());
  const inner = rows * BOX.height + (rows - 1) * DOWN;
  const middle = MARGIN + 18 + above + inner / 2;
  const taken = new Map<number, number>();
  const roles = nodes.map((node) => {
    const column = columns.get(node.name) ?? 0;
    const row = taken.get(column) ?? 0;
    taken.set(column, row + 1);
    const offset = row - ((held.get(column) ?? 1) - 1) / 2;
    return { node, x: MARGIN + BOX.width / 2 + column * (BOX.width + ACROSS), y: middle + offset * (BOX.height + DOWN) };
  });
  const waysAt = (name: string): number => pairs.filter(({ source, target }) => source === name || target === name).length;
  const places = new Map(roles.map((role) => [role.node.name, role]));
  const ways = pairs.flatMap((pair) => {
    const [from, to] = [places.get(pair.source), places.get(pair.target)];
    return from && to ? [{ ...pair, ...drawn(from, to, pair.isBack, waysAt(pair.source) < waysAt(pair.target)) }] : [];
  });
  const last = Math.max(0, ...columns.values());
  return {
    roles,
    ways,
    width: 2 * MARGIN + BOX.width + last * (BOX.width + ACROSS),
    height: 2 * (MARGIN + 18) + above + inner + below,
  };
}

/** Each role stands behind all it has work from; who comes earlier is in front, and what goes to it goes back. */
function columnsOf(nodes: readonly RoleNode[], edges: readonly RoleEdge[]): Map<string, number> {
  const order = new Map(nodes.map(({ name }, place) => [name, place]));
  const columns = new Map<string, number>();
  for (const { name } of nodes) {
    const before = edges.filter(({ source, target }) => target === name && (order.get(source) ?? Infinity) < (order.get(name) ?? 0));
    columns.set(name, Math.max(0, ...before.map(({ source }) => (columns.get(source) ?? 0) + 1)));
  }
  return columns;
}

type Pair = Pick<Way, "source" | "target" | "handoffs" | "changes" | "isBack">;

function pairsOf(nodes: readonly RoleNode[], edges: readonly RoleEdge[]): Pair[] {
  const order = new Map(nodes.map(({ name }, place) => [name, place]));
  const pairs = new Map<string, Pair>();
  for (const { source, target, kind, count } of edges) {
    const key = JSON.stringify([source, target]);
    const isBack = (order.get(target) ?? 0) <= (order.get(source) ?? 0);
    const pair = pairs.get(key) ?? { source, target, handoffs: 0, changes: 0, isBack };
    if (kind === "handoff") pair.handoffs += count;
    else pair.changes += count;
    pairs.set(key, pair);
  }
  return [...pairs.values()];
}

function drawn(from: PlacedRole, to: PlacedRole, isBack: boolean, isWordyAtStart: boolean): { path: string; x: number; y: number } {
  const half = BOX.width / 2;
  if (from === to) {
    const top = from.y - BOX.height / 2;
    return { path: `M ${from.x - 20} ${top} C ${from.x - 30} ${top - 26} ${from.x + 30} ${top - 26} ${from.x + 20} ${top}`, x: from.x, y: top - 22 };
  }
  if (from.x === to.x) {
    const [x, bend] = [from.x + half, from.x + half + 46];
    return { path: `M ${x} ${from.y} C ${bend} ${from.y} ${bend} ${to.y} ${x} ${to.y}`, x: bend + 4, y: (from.y + to.y) / 2 };
  }
  const columns = Math.round(Math.abs(to.x - from.x) / (BOX.width + ACROSS));
  if (columns > 1) return around(from, to, isBack ? 1 : -1, columns);
  const side = to.x > from.x ? 1 : -1;
  const port = isBack ? PORT : -PORT;
  const [x1, y1, x2, y2] = [from.x + side * half, from.y + port, to.x - side * half, to.y + port];
  const middle = (x1 + x2) / 2;
  // Where few ways meet there is room for words.
  const [x, y] = isWordyAtStart ? [x1 + side * WORDS, y1] : [x2 - side * WORDS, y2];
  return { path: `M ${x1} ${y1} C ${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`, x, y: y + (isBack ? 13 : -13) };
}

/** Past the columns between two roles. */
function around(from: PlacedRole, to: PlacedRole, side: 1 | -1, columns: number): { path: string; x: number; y: number } {
  const [y1, y2] = [from.y + (side * BOX.height) / 2, to.y + (side * BOX.height) / 2];
  const out = (side === 1 ? Math.max(y1, y2) : Math.min(y1, y2)) + side * SWING * (columns - 1) * 1.25;
  return {
    path: `M ${from.x} ${y1} C ${from.x} ${out} ${to.x} ${out} ${to.x} ${y2}`,
    x: (from.x + to.x) / 2,
    y: (y1 + y2) / 8 + out * 0.75 + side * 13,
  };
}
