/** The phases of an episode: runs of the same role, in the order of the steps. */

import type { OutlineNode } from "../../../api/schema";

/** See above. */
export interface Phase {
  /** The role, or the agent where no role is stated. */
  name: string;
  /** Sequence of the step it began with. */
  first: number;
  kind: string;
  label: string | null;
  steps: number;
  errors: number;
  /** When it began, and when the last of it was logged; ns since 1970 UTC. */
  from: number;
  to: number;
}

/** See above; what nobody in particular logged belongs to the phase it stands in. */
export function phasesOf(nodes: readonly OutlineNode[]): Phase[] {
  const phases: Phase[] = [];
  for (const node of nodes) {
    const name = node.role ?? node.agent;
    let phase = phases.at(-1);
    if (phase === undefined || (name !== null && name !== phase.name)) {
      phase = begun(name ?? "", node);
      phases.push(phase);
    }
    // That something began says less than what it began with.
    if (phase.kind === "status_change") [phase.kind, phase.label] = [node.kind, node.label];
    phase.steps += node.closing_sequence === null ? 1 : 2;
    if (node.kind === "error_report" || node.kind === "loss" || node.status === "error") phase.errors += 1;
    phase.to = Math.max(phase.to, node.ended_at ?? node.started_at);
  }
  return phases;
}

/** The place of the phase that a step stands in; -1 before the first. */
export function phaseOf(phases: readonly Phase[], sequence: number): number {
  let low = 0;
  for (let high = phases.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((phases[middle]?.first ?? 0) <= sequence) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function begun(name: string, { sequence, kind, label, started_at }: OutlineNode): Phase {
  return { name, first: sequence, kind, label, steps: 0, errors: 0, from: started_at, to: started_at };
}
