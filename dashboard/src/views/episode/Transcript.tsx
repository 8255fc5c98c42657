/** The steps of an episode to be read: one entry each, in their order, with what belongs together side by side. */

import { type ReactNode, useCallback, useEffect, useMemo, useRef } from "react";

import { AnchoredList } from "../../parts/AnchoredList";
import type { ListHandle } from "../../parts/FixedList";
import { Trouble } from "../../parts/Trouble";
import { useCalmBeat } from "../../parts/useCalmBeat";
import { Unfolded } from "../../payload/unfolded";
import { opens, statusOf } from "./details/pair";
import { useFollowing } from "./following";
import { NewSteps } from "./NewSteps";
import { NoSteps } from "./NoSteps";
import { useStepKeys } from "./step_keys";
import type { StepsProperties } from "./StepTable";
import { AwaitedEntry, Entry } from "./transcript/Entry";
import { Surroundings } from "./transcript/surroundings";
import "./transcript/transcript.css";

/** See above. */
export function Transcript({ log, episode, chosen, onChoose }: StepsProperties) {
  useCalmBeat(log);
  const isRunning = episode.status === "running";
  const handle = useRef<ListHandle>(null);
  const pane = useRef<HTMLDivElement>(null);
  const following = useFollowing(log, isRunning, handle);
  const { pause } = following;
  const surroundings = useMemo(() => new Surroundings(log), [log]);
  const unfolded = useMemo(() => ({ names: new Map<string, boolean>(), onChange: pause }), [pause]);
  const choose = useCallback((sequence: number) => {
    pause();
    onChoose(sequence);
  }, [pause, onChoose]);
  const look = useCallback((first: number, last: number) => log.look(first, last), [log]);
  useStepKeys(log, chosen, choose, handle, following);
  usePauseOnSelection(pane, pause);
  useEffect(() => {
    if (chosen === null || log.isLoading) return;
    pause();
    handle.current?.show(log.placeOf(chosen));
    // Only when another step is chosen: new entries must not move the list.
  }, [chosen, log.isLoading]);

  if (log.error !== null && log.length === 0) return <Trouble error={log.error} />;
  if (log.length === 0) return <NoSteps log={log} />;
  const entry = (place: number): ReactNode => {
    const step = log.step(place);
    if (step === undefined) return <AwaitedEntry key={place} place={place} of={log.length} />;
    const closer = opens(step) ? surroundings.closerOf(step, place) : undefined;
    const speaks = surroundings.speakerOf(step, place);
    return (
      <Entry
        key={place}
        step={step}
        place={place}
        of={isRunning ? -1 : log.length}
        began={episode.started_at}
        isChosen={step.sequence === chosen}
        status={closer === undefined ? null : statusOf(closer, isRunning)}
        took={closer ? closer.occurred_at - step.occurred_at : null}
        depth={surroundings.depthOf(step, place)}
        isAnswer={surroundings.isAnswerTo(step, place)}
        speaker={speaks?.name ?? null}
        isTurn={speaks?.isTurn ?? false}
        drafts={log.drafts}
        onChoose={choose}
      />
    );
  };
  return (
    <div className="transcript" ref={pane}>
      <Unfolded value={unfolded}>
        <AnchoredList
          handle={handle}
          length={log.length}
          label="Steps"
          onRange={look}
          onEnd={following.onEnd}
          entry={entry}
          isBusy={log.isLoading}
        />
      </Unfolded>
      <NewSteps following={following} />
    </div>
  );
}

/** Who selects text wants it to stay. */
function usePauseOnSelection(pane: { current: HTMLElement | null }, pause: () => void): void {
  useEffect(() => {
    const onSelection = (): void => {
      const selection = getSelection();
      if (selection === null || selection.isCollapsed || selection.anchorNode === null) return;
      if (pane.current?.contains(selection.anchorNode)) pause();
    };
    document.addEventListener("selectionchange", onSelection);
    return () => document.removeEventListener("selectionchange", onSelection);
  }, [pane, pause]);
}
