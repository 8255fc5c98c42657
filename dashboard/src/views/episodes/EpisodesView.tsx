/** All episodes, live: what each is doing now, how far it is, and what went wrong. */

import { useCallback, useEffect, useRef, useState } from "react";
import { useLocation, useSearchParams } from "wouter";

import { root } from "../../api/place";
import type { EpisodeSummary } from "../../api/schema";
import { FilterField } from "../../parts/FilterField";
import { FixedList, type ListHandle } from "../../parts/FixedList";
import { KindMark, StatusMark } from "../../parts/Marks";
import { useNow } from "../../parts/time";
import { SavedViews } from "../../parts/SavedViews";
import { Trouble } from "../../parts/Trouble";
import { useBeat } from "../../parts/useBeat";
import { useKeys } from "../../parts/keys";
import { ago, clock, count, duration, moment } from "../../steps/figures";
import { comparisonAddress, useMarked } from "../compare/marked";
import { MarkedTray } from "../compare/MarkedTray";
import { EpisodeList } from "./episode_list";
import { Facets } from "./Facets";
import "./episodes.css";

const ROW = 40;

/** See above. */
export function EpisodesView() {
  const [search, setSearch] = useSearchParams();
  const filter = search.get("filter") ?? "";
  const list = useEpisodeList(filter);
  const setFilter = useCallback(
    (text: string) =>
      setSearch((before) => {
        const after = new URLSearchParams(before);
        if (text) after.set("filter", text);
        else after.delete("filter");
        return after;
      }),
    [setSearch],
  );
  return (
    <main className="episodes">
      <h1 className="unseen">Episodes</h1>
      {list && <EpisodeFilter list={list} filter={filter} onFilter={setFilter} />}
      <Facets filter={filter} onFilter={setFilter} />
      {list && <EpisodeTable list={list} filter={filter} />}
    </main>
  );
}

interface FilterProperties {
  list: EpisodeList;
  filter: string;
  onFilter(filter: string): void;
}

function EpisodeFilter({ list, filter, onFilter }: FilterProperties) {
  const { error } = useBeat(list);
  return (
    <FilterField
      value={filter}
      onChange={onFilter}
      error={error}
      label="Filter episodes"
      placeholder="Filter:  status:running  role:engineer  errors>0  dur>5m  tag:demo   ( / )"
    >
      <SavedViews place="episodes" />
    </FilterField>
  );
}

function useEpisodeList(filter: string): EpisodeList | null {
  const [list, setList] = useState<EpisodeList | null>(null);
  useEffect(() => {
    const opened = new EpisodeList(filter);
    setList(opened);
    return () => opened.close();
  }, [filter]);
  return list;
}

function EpisodeTable({ list, filter }: { list: EpisodeList; filter: string }) {
  const { rows, waiting, error, isLoading, isComplete } = useBeat(list);
  const [chosen, setChosen] = useState<string | null>(null);
  const { marked, toggle, clear } = useMarked();
  const [, go] = useLocation();
  const handle = useRef<ListHandle>(null);
  const isAtTop = useRef(true);
  const isUnderPointer = useRef(false);
  const hold = (): void => list.hold(!isAtTop.current || isUnderPointer.current);
  const place = rows.findIndex((row) => row.episode.id === chosen);

  const step = (by: number): void => {
    const next = Math.min(rows.length - 1, Math.max(0, place + by));
    setChosen(rows[next]?.episode.id ?? null);
    handle.current?.show(next);
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    G: () => step(rows.length),
    g: () => step(-rows.length),
    Enter: () => chosen !== null && go(`/episodes/${chosen}`),
    x: () => chosen !== null && toggle(chosen),
    X: () => go(comparisonAddress(marked) ?? "/compare"),
  });
  const look = useCallback((first: number, last: number) => {
    isAtTop.current = first === 0;
    list.look(first, last);
  }, [list]);

  if (error !== null && rows.length === 0) return <Trouble error={error} onRetry={() => void list.more()} />;
  if (rows.length === 0 && !isLoading && waiting.length === 0) return <Nothing filter={filter} />;
  return (
    <div
      className="episode-list"
      onPointerEnter={() => { isUnderPointer.current = true; hold(); }}
      onPointerLeave={() => { isUnderPointer.current = false; hold(); }}
    >
      {waiting.length > 0 && (
        <button className="pill main" onClick={() => { list.take(); handle.current?.show(0, "start"); }}>
          ↑ {waiting.length} new
        </button>
      )}
      <p className="unseen" aria-live="polite">{waiting.length ? `${waiting.length} new episodes` : ""}</p>
      <div
        className="episode-table"
        role="table"
        aria-label="Episodes"
        aria-rowcount={isComplete ? rows.length + 1 : -1}
      >
        <div role="rowgroup">
          <div role="row" className="episode-row episode-head">
            <span role="columnheader"><span className="unseen">Compare</span></span>
            {["Status", "Episode", "Now", "Steps", "Errors", "Duration", "Started", "Last step"].map((name) => (
              <span role="columnheader" key={name}>{name}</span>
            ))}
          </div>
        </div>
        <FixedList
          handle={handle}
          length={rows.length}
          rowHeight={ROW}
          label="Episodes"
          onRange={look}
          row={(index) => {
            const row = rows[index];
            return row && (
              <EpisodeRow
                key={row.episode.id}
                summary={row}
                index={index}
                isChosen={row.episode.id === chosen}
                isMarked={marked.includes(row.episode.id)}
                onMark={toggle}
              />
            );
          }}
        />
      </div>
      <MarkedTray
        marked={marked}
        nameOf={(id) => rows.find((row) => row.episode.id === id)?.episode.name ?? null}
        onClear={clear}
      />
    </div>
  );
}

interface RowProperties {
  summary: EpisodeSummary;
  index: number;
  isChosen: boolean;
  /** Whether it is to be compared. */
  isMarked: boolean;
  onMark(id: string): void;
}

function EpisodeRow({ summary, index, isChosen, isMarked, onMark }: RowProperties) {
  const { episode, latest } = summary;
  const now = useNow();
  const [, go] = useLocation();
  const isRunning = episode.status === "running";
  const took = (episode.ended_at ?? now * 1e6) - episode.started_at;
  const name = episode.name || "unnamed";
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isChosen}
      className={`episode-row${isChosen ? " chosen" : ""}`}
      onClick={() => go(`/episodes/${episode.id}`)}
    >
      <span role="cell">
        <label className="episode-mark" onClick={(event) => event.stopPropagation()}>
          <input type="checkbox" checked={isMarked} onChange={() => onMark(episode.id)} aria-label={`Compare ${name}`} />
        </label>
      </span>
      <span role="cell"><StatusMark status={episode.status} /></span>
      <span role="cell" className="episode-name">
        <a
          href={`${root}/episodes/${episode.id}`}
          className="clip"
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) event.stopPropagation();
            else event.preventDefault();
          }}
        >
          {name}
        </a>
        <span className="faint clip">
          {[episode.role ?? episode.agent, episode.problem, ...episode.tags.map((tag) => `#${tag}`)].filter(Boolean).join(" · ")}
        </span>
      </span>
      <span role="cell" className="episode-now">
        {latest && <Now summary={summary} />}
      </span>
      <span role="cell" className="figure">{count(episode.steps)}</span>
      <span role="cell" className={`figure${episode.errors ? " bad" : " faint"}`}>{count(episode.errors)}</span>
      <span role="cell" className="figure">{duration(took)}</span>
      <span role="cell" className="figure" title={moment(episode.started_at)}>{clock(episode.started_at).slice(0, 8)}</span>
      <span role="cell" className={`figure${isRunning ? "" : " faint"}`} title={moment(episode.last_at)}>{ago(episode.last_at, now)}</span>
    </div>
  );
}

/** What it is doing; once it is over, how it ended. */
function Now({ summary: { episode, latest } }: { summary: EpisodeSummary }) {
  if (latest === null) return null;
  if (episode.status !== "running") {
    const end = [episode.outcome, episode.score === null ? null : `score ${episode.score}`, episode.reason];
    return <span className="clip soft">{end.filter((part) => part !== null && part !== "").join(" · ")}</span>;
  }
  return (
    <>
      <KindMark kind={latest.kind} brief />
      <span className="clip">
        {latest.label ?? latest.kind.replaceAll("_", " ")}
        <span className="faint">{latest.role ?? latest.agent ? ` · ${latest.role ?? latest.agent}` : ""}</span>
      </span>
    </>
  );
}

function Nothing({ filter }: { filter: string }) {
  if (filter) {
    return (
      <div className="note">
        <h2>No episode passes this filter.</h2>
        <p className="soft">Take a part of it away: each of <code>{filter}</code> must hold.</p>
      </div>
    );
  }
  return (
    <div className="note">
      <h2>Nothing is recorded yet.</h2>
      <p>Watch a run that is made up, or record one of your own; it appears here with its first step.</p>
      <pre>{`stepstream demo

from stepstream import ObservabilityProvider, Thought

with ObservabilityProvider("history.db") as provider:
    with provider.episode("My first run", agent="planner") as episode:
        episode.log_event(Thought(text="It works."))`}</pre>
    </div>
  );
}
