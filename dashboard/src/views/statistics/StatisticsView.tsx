/** Metrics: how much happens, how often it fails, how long tools and models take, and what they cost. */

import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect } from "react";
import { useSearchParams } from "wouter";

import { address, get, Problem } from "../../api/client";
import type { HistoryStatistics, KindFigures } from "../../api/schema";
import { useHealth } from "../../live/health";
import { FilterField } from "../../parts/FilterField";
import { KindMark } from "../../parts/Marks";
import { Renewal } from "../../parts/Renewal";
import { SavedViews } from "../../parts/SavedViews";
import { Trouble } from "../../parts/Trouble";
import { count, duration } from "../../steps/figures";
import { clauseOf, toggled } from "../episodes/clauses";
import { modelColumns, toolColumns } from "./call_columns";
import { columnsOf } from "./columns";
import { FigureTable } from "./FigureTable";
import { Moments } from "./Moments";
import { beginOf, USUAL_WINDOW, wallTime, WINDOWS, windowWords } from "./window";
import "../../parts/figures-table.css";
import "./statistics.css";

const RENEW_MS = 5_000;

/** See above. */
export default function StatisticsView() {
  const [search, setSearch] = useSearchParams();
  const since = search.get("since") ?? USUAL_WINDOW;
  const filter = search.get("filter") ?? "";
  const { data, error, dataUpdatedAt, refetch, isPlaceholderData } = useQuery({
    queryKey: ["statistics", since, filter],
    queryFn: ({ signal }) => get<HistoryStatistics>("/statistics", { since: beginOf(since, Date.now()), filter }, signal),
    refetchInterval: ({ state }) => (isRefused(state.error) ? false : RENEW_MS),
    placeholderData: (before) => before,
    retry: false,
  });
  useHealth();
  useEffect(() => {
    document.title = "Metrics · stepstream";
    return () => { document.title = "stepstream"; };
  }, []);

  const change = useCallback(
    (name: string, value: string) =>
      setSearch((before) => {
        const after = new URLSearchParams(before);
        if (value) after.set(name, value);
        else after.delete(name);
        return after;
      }, { replace: true }),
    [setSearch],
  );
  return (
    <main className="statistics">
      <header className="statistics-head">
        <h1 className="unseen">Metrics</h1>
        <div role="group" aria-label="How far back" className="windows">
          {WINDOWS.map((each) => (
            <button key={each} className="plain" aria-pressed={each === since} title={`the last ${windowWords(each)}`} onClick={() => change("since", each)}>
              {each.slice(1)}
            </button>
          ))}
        </div>
        <FilterField
          value={filter}
          onChange={(text) => change("filter", text)}
          error={error}
          label="Filter steps that are counted"
          placeholder="Filter:  tool:simulate  role:engineer  kind:error   ( / )"
        >
          <SavedViews place="statistics" />
        </FilterField>
        {data && <Renewal at={dataUpdatedAt} everyMs={RENEW_MS} error={isPlaceholderData ? null : error} />}
        <a className="faint" href={address("/statistics", { since: data?.since, filter })}>JSON</a>
      </header>
      {data ? (
        <Figures data={data} isFiltered={filter !== ""} onFilter={(clause) => change("filter", toggled(filter, clause))} />
      ) : (
        error !== null && !isRefused(error) && <Trouble error={error} onRetry={() => void refetch()} />
      )}
    </main>
  );
}

/** Whether the filter cannot be read: the field says where, and to ask again helps nobody. */
function isRefused(error: unknown): boolean {
  return error instanceof Problem && error.status === 400;
}

interface FiguresProperties {
  data: HistoryStatistics;
  isFiltered: boolean;
  /** Add a clause to the filter, or take it away. */
  onFilter(clause: string): void;
}

function Figures({ data, isFiltered, onFilter }: FiguresProperties) {
  const columns = columnsOf(data);
  if (data.steps === 0) {
    return (
      <div className="statistics-body">
        <Window data={data} begin={columns[0]?.at ?? data.since} />
        <div className="note">
          <h2>{isFiltered ? "No step of this time passes the filter." : "No step was committed in this time."}</h2>
          <p className="soft">{isFiltered ? "Take a part of it away, or look" : "Look"} further back: with the buttons above.</p>
        </div>
      </div>
    );
  }
  return (
    <div className="statistics-body">
      <Window data={data} begin={columns[0]?.at ?? data.since} />
      <Totals data={data} />
      <Moments columns={columns} widthNs={data.moment_ns} />
      <div className="statistics-tables">
        <section className="wide">
          <h2>Tools</h2>
          {data.tools.length === 0 ? <p className="faint">No tool was called.</p> : (
            <FigureTable
              name="tools"
              label="Tools"
              rows={data.tools}
              columns={toolColumns((tool) => onFilter(clauseOf("tool", tool)))}
              usual="calls"
              keyOf={(row) => row.name}
            />
          )}
        </section>
        <Kinds kinds={data.kinds} steps={data.steps} onFilter={onFilter} />
        <section className="whole">
          <h2>Models</h2>
          {data.models.length === 0 ? <p className="faint">No model was asked.</p> : (
            <FigureTable name="models" label="Models" rows={data.models} columns={modelColumns()} usual="calls" keyOf={(row) => row.calls.name} />
          )}
        </section>
      </div>
    </div>
  );
}

/** What was counted, and what was not. */
function Window({ data, begin }: { data: HistoryStatistics; begin: number }) {
  return (
    <p className="faint figure">
      {wallTime(begin)} to {wallTime(data.until)}, by when it was committed
      {" · "}{count(data.looked_at)} steps looked at
      {!data.is_complete && (
        <strong className="statistics-part"> · only the newest {count(data.looked_at)} since {wallTime(data.since)} are counted</strong>
      )}
    </p>
  );
}

function Totals({ data }: { data: HistoryStatistics }) {
  const { lag, losses } = data;
  const rate = data.steps === 0 ? "–" : `${((100 * data.errors) / data.steps).toFixed(1)} %`;
  const span = (ns: number | null): string => (ns === null ? "–" : duration(ns));
  return (
    <dl className="totals figure">
      <div><dt>steps</dt><dd>{count(data.steps)}</dd></div>
      <div><dt>errors</dt><dd className={data.errors ? "bad" : ""}>{count(data.errors)} <small>{rate}</small></dd></div>
      <div title="From when a step occurred to when it was committed"><dt>ingest lag p50</dt><dd>{span(lag.p50_ns)}</dd></div>
      <div title="From when a step occurred to when it was committed"><dt>ingest lag p95</dt><dd>{span(lag.p95_ns)} <small>max {span(lag.max_ns)}</small></dd></div>
      <div title="Steps that are known to be missing">
        <dt>losses</dt>
        <dd className={losses.reports ? "bad" : ""}>
          {losses.reports ? `✕ ${count(losses.reports)}` : "none"}{losses.steps > 0 && <small> {count(losses.steps)} steps missing</small>}
        </dd>
      </div>
    </dl>
  );
}

function Kinds({ kinds, steps, onFilter }: { kinds: KindFigures[]; steps: number; onFilter(clause: string): void }) {
  const most = Math.max(1, ...kinds.map((each) => each.steps));
  return (
    <section>
      <h2>Kinds</h2>
      {kinds.length === 0 && <p className="faint">No step was committed.</p>}
      <ul className="kinds">
        {kinds.map((each) => (
          <li key={each.kind}>
            <button className="plain" onClick={() => onFilter(clauseOf("kind", each.kind))}><KindMark kind={each.kind} /></button>
            <span className="kinds-part"><span style={{ width: `${(each.steps / most) * 100}%` }} /></span>
            <span className="figure">{count(each.steps)}</span>
            <span className="figure faint">{((100 * each.steps) / Math.max(1, steps)).toFixed(0)} %</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
