/** One episode: what happened, step by step, as it happens. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";

import { get } from "../../api/client";
import type { EpisodeSummary, Step } from "../../api/schema";
import { FilterField } from "../../parts/FilterField";
import { useKeys } from "../../parts/keys";
import { Trouble } from "../../parts/Trouble";
import { Details } from "./Details";
import { EpisodeHeader } from "./EpisodeHeader";
import { FilteredLog } from "./filtered_log";
import { Minimap } from "./Minimap";
import { Outline } from "./Outline";
import type { StepLog } from "./step_log";
import { StepTable } from "./StepTable";
import { Transcript } from "./Transcript";
import { WholeLog } from "./whole_log";
import "./episode.css";

const RENEW_MS = 500;
const TABS = ["transcript", "table"] as const;

/** A tab of the view; the word in its address. */
export type Tab = (typeof TABS)[number];

/** See above. */
export default function EpisodeView({ id }: { id: string }) {
  const [search, setSearch] = useSearchParams();
  const filter = search.get("filter") ?? "";
  const tab = TABS.find((each) => each === search.get("tab")) ?? "transcript";
  const wanted = search.get("step");
  const chosen = wanted === null || !/^\d+$/.test(wanted) ? null : Number(wanted);
  const { summary, error, renewSoon } = useSummary(id);
  const log = useStepLog(summary?.episode.id ?? null, filter, renewSoon);

  const change = useCallback(
    (changes: Record<string, string | null>) =>
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
  const choose = useCallback(
    (sequence: number | null) => change({ step: sequence === null ? null : String(sequence) }),
    [change],
  );
  useKeys({
    "1": () => change({ tab: null }),
    "2": () => change({ tab: "table" }),
    Escape: () => choose(null),
  });

  useEffect(() => {
    if (summary) document.title = `${summary.episode.name || "unnamed"} · stepstream`;
    return () => { document.title = "stepstream"; };
  }, [summary]);

  if (error && !summary) return <Trouble error={error} onRetry={renewSoon} />;
  if (!summary || !log) return null;
  const { episode } = summary;
  const Rows = tab === "table" ? StepTable : Transcript;
  return (
    <main className={`episode${chosen === null ? "" : " with-details"}`}>
      <EpisodeHeader summary={summary} />
      <Minimap episode={episode} chosen={chosen} onChoose={choose} />
      <div className="episode-tools">
        <div role="tablist" aria-label="How the steps are shown" className="tabs">
          {TABS.map((each) => (
            <button
              key={each}
              role="tab"
              aria-selected={each === tab}
              className="plain"
              onClick={() => change({ tab: each === "transcript" ? null : each })}
            >
              {each[0]?.toUpperCase() + each.slice(1)}
            </button>
          ))}
        </div>
        <FilterField
          value={filter}
          onChange={(text) => change({ filter: text, step: null })}
          error={log.error}
          label="Filter steps"
          placeholder="Filter:  kind:tool_call  tool:simulate  status:error  dur>1s  &quot;text&quot;   ( / )"
        />
      </div>
      <Outline episode={episode} chosen={chosen} onChoose={choose} />
      <section className="episode-steps" role="tabpanel" aria-label={tab}>
        <Rows key={filter} log={log} episode={episode} chosen={chosen} onChoose={choose} />
      </section>
      {chosen !== null && <Details episode={episode} sequence={chosen} onChoose={choose} />}
    </main>
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
    const opened = filter ? new FilteredLog(episode, filter, onSteps) : new WholeLog(episode, () => {}, onSteps);
    setLog(opened);
    return () => opened.close();
  }, [episode, filter, onSteps]);
  return log;
}
