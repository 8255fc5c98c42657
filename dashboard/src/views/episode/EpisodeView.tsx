/** One episode: what happened, step by step, as it happens. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "wouter";

import { get } from "../../api/client";
import type { EpisodeSummary, Step } from "../../api/schema";
import { FilterField } from "../../parts/FilterField";
import { useKeys } from "../../parts/keys";
import { SavedViews } from "../../parts/SavedViews";
import { Trouble } from "../../parts/Trouble";
import { useBeat } from "../../parts/useBeat";
import { Details } from "./Details";
import { EpisodeHeader } from "./EpisodeHeader";
import { FilteredLog } from "./filtered_log";
import { Minimap } from "./Minimap";
import { Outline } from "./Outline";
import type { Skeleton } from "./outline/skeleton";
import { useSkeleton } from "./outline/useSkeleton";
import { type Replay, useReplay } from "./playhead_hook";
import { PaceTold } from "./playhead_pace";
import { PlayheadMark } from "./PlayheadMark";
import type { StepLog } from "./step_log";
import { StepTable } from "./StepTable";
import { Transcript } from "./Transcript";
import { WholeLog } from "./whole_log";
import "./episode.css";

const RENEW_MS = 500;
/** So many rows ahead of a replay are read. */
const AHEAD = 1_000;
const TABS = ["transcript", "table", "waterfall", "graph", "plots"] as const;

const Waterfall = lazy(() => import("./waterfall/Waterfall"));
const Graph = lazy(() => import("./graph/Graph"));
const Plots = lazy(() => import("./plots/Plots"));

/** A tab of the view; the word in its address. */
export type Tab = (typeof TABS)[number];

/** See above. */
export default function EpisodeView({ id }: { id: string }) {
  const [search, setSearch] = useSearchParams();
  const filter = search.get("filter") ?? "";
  const { summary, error, renewSoon } = useSummary(id);
  const log = useStepLog(summary?.episode.id ?? null, filter, renewSoon);
  const skeleton = useSkeleton(summary?.episode ?? null);

  const change = useCallback(
    (changes: Changes) =>
      setSearch((before) => {
        const after = new URLSearchParams(before);
        for (const [name, value] of Object.entries(changes)) {
          if (value === null || value === "") after.delete(name);
          else after.set(name, value);
        }
        return after;
      }, { replace: true }),
    [setSearch],
  );
  useEffect(() => {
    if (summary) document.title = `${summary.episode.name || "unnamed"} · stepstream`;
    return () => { document.title = "stepstream"; };
  }, [summary]);

  if (error && !summary) return <Trouble error={error} onRetry={renewSoon} />;
  if (!summary || !log || !skeleton) return null;
  return <EpisodePage summary={summary} log={log} skeleton={skeleton} search={search} change={change} />;
}

/** What of the address is to be another; null takes it away. */
type Changes = Record<string, string | null>;

interface PageProperties {
  summary: EpisodeSummary;
  log: StepLog;
  skeleton: Skeleton;
  search: URLSearchParams;
  change(changes: Changes): void;
}

function EpisodePage({ summary, log, skeleton, search, change }: PageProperties) {
  const { episode } = summary;
  const filter = search.get("filter") ?? "";
  const tab = TABS.find((each) => each === search.get("tab")) ?? "transcript";
  const wanted = search.get("step");
  const chosen = wanted === null || !/^\d+$/.test(wanted) ? null : Number(wanted);
  const choose = useCallback(
    (sequence: number | null) => change({ step: sequence === null ? null : String(sequence) }),
    [change],
  );
  const open = useCallback((next: Tab) => change({ tab: next === "transcript" ? null : next }), [change]);
  const narrow = useCallback((text: string) => change({ filter: text, step: null }), [change]);
  const replay = useReplay({ episode, skeleton, chosen, wanted: search.get("replay"), change });
  const [isFollowing, setFollowing] = useState(true);
  const { stop, returns } = useReturn(replay, isFollowing, chosen, change);
  useKeys({
    ...Object.fromEntries(TABS.map((each, place) => [String(place + 1), () => open(each)])),
    " ": replay.toggle,
    Escape: () => (replay.moment === null ? choose(null) : stop()),
  });

  useEffect(() => {
    if (!replay.isPlaying || replay.sequence === null) return;
    const place = log.placeOf(replay.sequence);
    log.look(place, place + AHEAD);
  }, [log, replay.isPlaying, replay.sequence]);

  const shown = replay.sequence ?? chosen;
  const withDetails = chosen !== null && !replay.isPlaying;
  const rows = { log, episode, chosen: shown, onChoose: choose };
  const toTable = (text: string): void => change({ tab: "table", filter: text, step: null });
  return (
    <main className={`episode${withDetails ? " with-details" : ""}`}>
      <EpisodeHeader summary={summary}>
        <PlayheadMark replay={{ ...replay, stop }} isRunning={episode.status === "running"} isFollowing={isFollowing} />
      </EpisodeHeader>
      <Minimap episode={episode} chosen={shown} onChoose={choose} />
      <div className="episode-tools">
        <div role="tablist" aria-label="How the steps are shown" className="tabs">
          {TABS.map((each, place) => (
            <button
              key={each}
              role="tab"
              aria-selected={each === tab}
              className="plain"
              title={`Key ${place + 1}`}
              onClick={() => open(each)}
            >
              {each[0]?.toUpperCase() + each.slice(1)}
            </button>
          ))}
        </div>
        <StepFilter log={log} episode={episode.id} filter={filter} onFilter={narrow} />
      </div>
      <Outline skeleton={skeleton} episode={episode} chosen={shown} filter={filter} onChoose={choose} onFilter={narrow} />
      <section className="episode-steps" role="tabpanel" aria-label={tab}>
        <PaceTold value={setFollowing}>
          <Suspense>
            {tab === "transcript" && <Transcript key={`${filter} ${returns}`} {...rows} />}
            {tab === "table" && <StepTable key={`${filter} ${returns}`} {...rows} />}
            {tab === "waterfall" && <Waterfall key={episode.id} {...rows} moment={replay.moment} />}
            {tab === "graph" && <Graph episode={episode} filter={filter} onFilter={toTable} />}
            {tab === "plots" && <Plots episode={episode} chosen={shown} onChoose={choose} skeleton={skeleton} moment={replay.moment} />}
          </Suspense>
        </PaceTold>
      </section>
      {withDetails && <Details episode={episode} sequence={chosen} onChoose={choose} />}
    </main>
  );
}

/** The end of a replay: what followed before follows again, as a list that is made anew. */
function useReturn(replay: Replay, isFollowing: boolean, chosen: number | null, change: (changes: Changes) => void): { stop(): void; returns: number } {
  const [returns, setReturns] = useState(0);
  const followed = useRef(false);
  if (replay.moment === null) followed.current = isFollowing && chosen === null;
  const stop = useCallback(() => {
    if (!followed.current) return replay.stop();
    change({ replay: null, step: null });
    setReturns((before) => before + 1);
  }, [replay.stop, change]);
  return { stop, returns };
}

interface FilterProperties {
  log: StepLog;
  episode: string;
  filter: string;
  onFilter(filter: string): void;
}

function StepFilter({ log, episode, filter, onFilter }: FilterProperties) {
  const { error } = useBeat(log);
  return (
    <FilterField
      value={filter}
      onChange={onFilter}
      error={error}
      label="Filter steps"
      placeholder="Filter:  kind:tool_call  tool:simulate  status:error  dur>1s  &quot;text&quot;   ( / )"
    >
      <Link href={`/search?episode=${episode}`} className="filter-beside">Search</Link>
      <SavedViews place="episode" />
    </FilterField>
  );
}

function useSummary(id: string): { summary: EpisodeSummary | undefined; error: unknown; renewSoon: () => void } {
  const queries = useQueryClient();
  const { data, error } = useQuery({
    queryKey: ["episode", id],
    queryFn: ({ signal }) => get<EpisodeSummary>(`/episodes/${id}`, {}, signal),
  });
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const renewSoon = useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void queries.invalidateQueries({ queryKey: ["episode", id] });
    }, RENEW_MS);
  }, [queries, id]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return { summary: data, error, renewSoon };
}

function useStepLog(episode: string | null, filter: string, onSteps: (steps: Step[]) => void): StepLog | null {
  const [log, setLog] = useState<StepLog | null>(null);
  useEffect(() => {
    if (episode === null) return;
    const opened = filter ? new FilteredLog(episode, filter, onSteps) : new WholeLog(episode, onSteps);
    setLog(opened);
    return () => opened.close();
  }, [episode, filter, onSteps]);
  return log;
}
