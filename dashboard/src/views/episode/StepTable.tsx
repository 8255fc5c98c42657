/** The steps of an episode as a table: one line each, any number of them. */

import { useCallback, useLayoutEffect, useRef } from "react";

import type { Episode, Step } from "../../api/schema";
import { FixedList, type ListHandle } from "../../parts/FixedList";
import { KindMark } from "../../parts/Marks";
import { Trouble } from "../../parts/Trouble";
import { useBeat } from "../../parts/useBeat";
import { clock, duration, moment } from "../../steps/figures";
import { headline } from "../../steps/headline";
import { useFollowing } from "./following";
import { NewSteps } from "./NewSteps";
import { NoSteps } from "./NoSteps";
import { useStepKeys } from "./step_keys";
import type { StepLog } from "./step_log";

const ROW = 28;

/** What every tab with steps is given. */
export interface StepsProperties {
  log: StepLog;
  episode: Episode;
  /** Sequence number of the step whose details are shown. */
  chosen: number | null;
  onChoose(sequence: number | null): void;
}

/** See above. */
export function StepTable({ log, episode, chosen, onChoose }: StepsProperties) {
  useBeat(log);
  const handle = useRef<ListHandle>(null);
  const following = useFollowing(log, episode.status === "running", handle);
  const choose = useCallback((sequence: number) => {
    following.pause();
    onChoose(sequence);
  }, [following.pause, onChoose]);
  const look = useCallback((first: number, last: number) => log.look(first, last), [log]);
  useStepKeys(log, chosen, choose, handle, following);
  useLayoutEffect(() => {
    if (chosen !== null && !log.isLoading) handle.current?.show(log.placeOf(chosen));
    // Only when another step is chosen: new rows must not move the list.
  }, [chosen, log.isLoading]);

  if (log.error !== null && log.length === 0) return <Trouble error={log.error} />;
  if (log.length === 0) return <NoSteps log={log} />;
  return (
    <div className="step-list">
      <div className="step-table" role="table" aria-label="Steps" aria-rowcount={log.length + 1}>
        <div role="rowgroup">
          <div role="row" className="step-row step-head">
            {["#", "Time", "Kind", "Who", "What"].map((name) => <span role="columnheader" key={name}>{name}</span>)}
          </div>
        </div>
        <FixedList
          handle={handle}
          length={log.length}
          rowHeight={ROW}
          label="Steps"
          onRange={look}
          onEnd={following.onEnd}
          row={(place) => (
            <StepRow
              key={place}
              step={log.step(place)}
              place={place}
              chosen={chosen}
              began={episode.started_at}
              onChoose={choose}
            />
          )}
        />
      </div>
      <NewSteps following={following} />
    </div>
  );
}

interface RowProperties {
  step: Step | undefined;
  place: number;
  chosen: number | null;
  began: number;
  onChoose(sequence: number): void;
}

function StepRow({ step, place, chosen, began, onChoose }: RowProperties) {
  if (step === undefined) {
    return (
      <div role="row" className="step-row" aria-rowindex={place + 2}>
        <span role="cell" className="faint figure">{place}</span>
        <span role="cell" className="skeleton" />
      </div>
    );
  }
  return (
    <div
      role="row"
      aria-rowindex={place + 2}
      aria-selected={step.sequence === chosen}
      className={`step-row${step.sequence === chosen ? " chosen" : ""}${step.kind === "error_report" ? " failed" : ""}`}
      onClick={() => onChoose(step.sequence)}
    >
      <span role="cell" className="faint figure">{step.sequence}</span>
      <span role="cell" className="faint figure" title={`${moment(step.occurred_at)}, ${duration(step.occurred_at - began)} in`}>
        {clock(step.occurred_at)}
      </span>
      <span role="cell"><KindMark kind={step.kind} /></span>
      <span role="cell" className="clip soft">{step.role ?? step.agent}</span>
      <span role="cell" className="clip">{headline(step)}</span>
    </div>
  );
}
