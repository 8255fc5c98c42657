/** The head of the details: which step, who and when, and what can be done with it. */

import type { Episode, Step } from "../../../api/schema";
import { KindMark, StatusMark } from "../../../parts/Marks";
import { useNow } from "../../../parts/time";
import { clock, duration, moment } from "../../../steps/figures";
import type { Pair } from "./pair";

interface Properties {
  step: Step;
  pair: Pair;
  episode: Episode;
  /** What was just copied; null where nothing was. */
  said: string | null;
  onChoose(sequence: number | null): void;
  onCopyLink(): void;
  onCopyJson(): void;
}

/** See above. */
export function DetailsHead({ step, pair, episode, said, onChoose, onCopyLink, onCopyJson }: Properties) {
  const { sequence } = step;
  const { partner } = pair;
  return (
    <header className="details-head">
      <div className="details-line">
        <KindMark kind={step.kind} />
        <h2 className="figure">#{sequence}</h2>
        {pair.status !== null && <StatusMark status={pair.status} />}
        <span className="stretch" />
        <span role="status" className="faint">{said}</span>
        <button className="plain" onClick={() => onChoose(sequence - 1)} disabled={sequence === 0} aria-label="The step before" title="The step before">‹</button>
        <button className="plain" onClick={() => onChoose(sequence + 1)} disabled={sequence + 1 >= episode.steps} aria-label="The next step" title="The next step">›</button>
        <button className="plain" onClick={onCopyLink} title="Copy a link to this step (c)">link</button>
        <button className="plain" onClick={onCopyJson} title="Copy this step as JSON (y)">JSON</button>
        <button className="plain" onClick={() => onChoose(null)} aria-label="Close the details" title="Close (Esc)">✕</button>
      </div>
      <p className="details-line soft">
        <span>{whoIs(step)}</span>
        <span className="figure" title={moment(step.occurred_at)}>{clock(step.occurred_at)}</span>
        <span className="faint figure">{duration(step.occurred_at - episode.started_at)} in</span>
        {pair.took !== null && <span className="figure">took {duration(pair.took)}</span>}
        {pair.opener !== null && pair.status === "running" && <Elapsed since={pair.opener.occurred_at} />}
        {partner !== null && (
          <button className="fold" onClick={() => onChoose(partner.sequence)} title="To the other half (o)">
            {partner === pair.opener ? "opened" : "closed"} by #{partner.sequence}
          </button>
        )}
      </p>
    </header>
  );
}

/** Who logged a step. */
export function whoIs({ role, agent }: Step): string {
  if (role !== null && agent !== null && role !== agent) return `${agent} (${role})`;
  return role ?? agent ?? "nobody named";
}

function Elapsed({ since }: { since: number }) {
  const now = useNow();
  return <span className="figure">for {duration(Math.max(0, now * 1e6 - since))}</span>;
}
