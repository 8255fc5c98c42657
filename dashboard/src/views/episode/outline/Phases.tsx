/** The phases of an episode, to be leapt between. */

import { useCallback, useEffect, useMemo, useRef } from "react";

import type { Episode } from "../../../api/schema";
import { FixedList, type ListHandle } from "../../../parts/FixedList";
import { KindMark } from "../../../parts/Marks";
import { useNow } from "../../../parts/time";
import { useBeat } from "../../../parts/useBeat";
import { count, duration } from "../../../steps/figures";
import { markOf } from "../../../steps/kind";
import { type Phase, phaseOf, phasesOf } from "./phases";
import { NODES_MAX, type Skeleton } from "./skeleton";

const ROW = 42;

interface Properties {
  skeleton: Skeleton;
  episode: Episode;
  chosen: number | null;
  onChoose(sequence: number): void;
}

/** See above. */
export function Phases({ skeleton, episode, chosen, onChoose }: Properties) {
  useBeat(skeleton);
  const handle = useRef<ListHandle>(null);
  const phases = useMemo(() => phasesOf(skeleton.nodes), [skeleton.nodes]);
  const isRunning = episode.status === "running";
  const at = chosen === null ? -1 : phaseOf(phases, chosen);
  const end = phases.length - 1;
  const isAtEnd = useRef(true);
  const onEnd = useCallback((is: boolean) => { isAtEnd.current = is; }, []);
  useEffect(() => {
    if (at >= 0) handle.current?.show(at);
    // Who looks at earlier phases is left there.
    else if (isRunning && isAtEnd.current) handle.current?.show(end);
  }, [at, end, isRunning]);
  return (
    <section className="phases">
      <h2>Phases{phases.length > 0 && <span className="figure"> {count(phases.length)}</span>}</h2>
      <div role="table" aria-label="Phases" aria-rowcount={phases.length}>
        <FixedList
          handle={handle}
          length={phases.length}
          rowHeight={ROW}
          label="Phases"
          onEnd={onEnd}
          row={(place) => {
            const phase = phases[place];
            return phase !== undefined && (
              <PhaseRow
                key={phase.first}
                phase={phase}
                place={place}
                isHere={place === at}
                isOpen={isRunning && place === end && !skeleton.isTruncated}
                onChoose={onChoose}
              />
            );
          }}
        />
      </div>
      {skeleton.error !== null && <p className="bad">Not all of it could be read.</p>}
      {skeleton.isTruncated && (
        <p className="faint">
          Of {count(skeleton.steps)} steps the phases of the first {count(skeleton.nodes.at(-1)?.sequence ?? NODES_MAX)} are told.
        </p>
      )}
    </section>
  );
}

interface RowProperties {
  phase: Phase;
  place: number;
  isHere: boolean;
  isOpen: boolean;
  onChoose(sequence: number): void;
}

function PhaseRow({ phase, place, isHere, isOpen, onChoose }: RowProperties) {
  const began = phase.label ?? markOf(phase.kind).word;
  return (
    <div role="row" aria-rowindex={place + 1} className="phase-row">
      <span role="cell">
        <button
          className={`plain phase${isHere ? " chosen" : ""}`}
          aria-current={isHere ? "step" : undefined}
          title={`From step ${phase.first} on: ${began}`}
          onClick={() => onChoose(phase.first)}
        >
          <span className="phase-name clip">{phase.name || "nobody"}</span>
          <span className="figure faint">{isOpen ? <Ticking since={phase.from} /> : phase.to > phase.from && duration(phase.to - phase.from)}</span>
          <span className="phase-began clip soft"><KindMark kind={phase.kind} brief /> {began}</span>
          <span className="figure faint">
            {count(phase.steps)}{phase.errors > 0 && <span className="bad"> {count(phase.errors)} ✕</span>}
          </span>
        </button>
      </span>
    </div>
  );
}

function Ticking({ since }: { since: number }) {
  const now = useNow();
  return <span className="ticking"><span className="dot" aria-hidden /> {duration(Math.max(0, now * 1e6 - since))}</span>;
}
