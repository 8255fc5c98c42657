/** The head of an episode: how it stands, what it is doing now, and its figures. */

import type { ReactNode } from "react";

import type { EpisodeSummary } from "../../api/schema";
import { KindMark, StatusMark } from "../../parts/Marks";
import { useNow } from "../../parts/time";
import { ago, count, duration, moment } from "../../steps/figures";

/** After so long without a word a running episode is said to be silent. */
const SILENT_NS = 60e9;

/** See above. */
export function EpisodeHeader({ summary: { episode, latest }, children }: { summary: EpisodeSummary; children: ReactNode }) {
  const now = useNow();
  const isRunning = episode.status === "running";
  const took = (episode.ended_at ?? now * 1e6) - episode.started_at;
  const isSilent = isRunning && now * 1e6 - episode.last_at > SILENT_NS;
  return (
    <header className="episode-header">
      <StatusMark status={episode.status} />
      <h1 className="clip" title={episode.id}>{episode.name || "unnamed"}</h1>
      <span className="faint clip">
        {[episode.problem, episode.attempt > 1 ? `attempt ${episode.attempt}` : null, ...episode.tags.map((tag) => `#${tag}`)].filter(Boolean).join(" · ")}
      </span>
      <span className="episode-header-now clip">
        {isRunning && latest !== null && (
          <>
            <KindMark kind={latest.kind} brief /> {latest.label ?? latest.kind.replaceAll("_", " ")}
            <span className="faint"> · {latest.role ?? latest.agent}</span>
          </>
        )}
        {!isRunning && [episode.outcome, episode.score === null ? null : `score ${episode.score}`, episode.reason].filter((part) => part !== null && part !== "").join(" · ")}
      </span>
      <span className="stretch" />
      {isSilent && <span className="chip bad">last sign of life {ago(episode.last_at, now)}</span>}
      {children}
      <dl className="episode-figures figure">
        <div><dt>steps</dt><dd>{count(episode.steps)}</dd></div>
        <div><dt>errors</dt><dd className={episode.errors ? "bad" : ""}>{count(episode.errors)}</dd></div>
        <div title={moment(episode.started_at)}><dt>{isRunning ? "for" : "took"}</dt><dd>{duration(took)}</dd></div>
      </dl>
    </header>
  );
}
