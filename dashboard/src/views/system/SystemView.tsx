/** The system at a glance: whether all that is logged is kept and told, and what to do where it is not. */

import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";

import { address, get } from "../../api/client";
import type { HistoryInfo, MigrationReport, SegmentReport, SystemReport } from "../../api/schema";
import { useHealth } from "../../live/health";
import { Renewal } from "../../parts/Renewal";
import { Trouble } from "../../parts/Trouble";
import { useNow } from "../../parts/time";
import { ago, bytes, count, moment } from "../../steps/figures";
import { recordingVitals } from "./recording";
import { storageVitals } from "./storage";
import { unwell, type Vital } from "./vital";
import { VitalCard } from "./VitalCard";
import { watchingVitals } from "./watching";
import "../../parts/figures-table.css";
import "./system.css";

const RENEW_MS = 2_000;

/** See above. */
export default function SystemView() {
  const system = useQuery({
    queryKey: ["system"],
    queryFn: ({ signal }) => get<SystemReport>("/system", {}, signal),
    refetchInterval: RENEW_MS,
    retry: false,
  });
  const info = useQuery({
    queryKey: ["info"],
    queryFn: ({ signal }) => get<HistoryInfo>("/info", {}, signal),
    refetchInterval: RENEW_MS,
    retry: false,
  });
  useHealth();
  useEffect(() => {
    document.title = "System · stepstream";
    return () => { document.title = "stepstream"; };
  }, []);
  const { data: report, error, dataUpdatedAt } = system;
  if (report === undefined) return error ? <Trouble error={error} onRetry={() => void system.refetch()} /> : null;

  const groups: [string, Vital[]][] = [
    ["Recording", recordingVitals(report)],
    ["Storage", storageVitals(report, info.data)],
    ["Watching", watchingVitals(report)],
  ];
  return (
    <main className="system">
      <header className="system-head">
        <h1>System</h1>
        <Verdict vitals={groups.flatMap(([, vitals]) => vitals)} isOld={error !== null} />
        <span className="stretch" />
        <Renewal at={dataUpdatedAt} everyMs={RENEW_MS} error={error} />
        <a className="faint" href={address("/system")}>JSON</a>
      </header>
      <div className={`system-groups${error === null ? "" : " old"}`}>
        {groups.map(([name, vitals]) => (
          <section key={name} aria-label={name} className="system-group">
            <h2>{name}</h2>
            {vitals.map((each) => <VitalCard key={each.name} vital={each} />)}
          </section>
        ))}
      </div>
      <div className="system-tables">
        <Segments segments={report.spool?.segments ?? []} count={report.spool?.segments_count ?? 0} />
        <Migrations migrations={report.migrations} />
      </div>
    </main>
  );
}

/** All in a word: well, or what is not. */
function Verdict({ vitals, isOld }: { vitals: Vital[]; isOld: boolean }) {
  const ill = unwell(vitals);
  if (isOld) return <p className="verdict warn">? not known now; this is how it stood</p>;
  if (ill.length === 0) return <p className="verdict good" role="status">✓ all is well</p>;
  return (
    <p className={`verdict ${ill[0]?.standing === "bad" ? "bad" : "warn"}`} role="status">
      {ill[0]?.standing === "bad" ? "✕" : "⚠"} look at: {ill.map(({ name }) => name.toLowerCase()).join(", ")}
    </p>
  );
}

function Segments({ segments, count: all }: { segments: SegmentReport[]; count: number }) {
  const now = useNow();
  return (
    <section>
      <h2>Segments of the spool</h2>
      {segments.length === 0 ? <p className="faint">None: all that was logged is in the database.</p> : (
        <table className="figures-table">
          <thead>
            <tr><th>File</th><th>Process</th><th className="figure">Holds</th><th className="figure">Refused</th><th className="figure">Written</th></tr>
          </thead>
          <tbody>
            {segments.map((segment) => (
              <tr key={segment.name}>
                <td className="mono">{segment.name}</td>
                <td>{segment.pid ?? "not readable"}{segment.host === null ? "" : ` on ${segment.host}`}{segment.is_owned ? " · writes to it" : " · has ended"}</td>
                <td className="figure">{bytes(segment.held_bytes)}</td>
                <td className={`figure${segment.refused ? " bad" : ""}`}>{count(segment.refused)}</td>
                <td className="figure">{ago(segment.changed_at, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {all > segments.length && <p className="faint">The oldest {count(segments.length)} of {count(all)}.</p>}
    </section>
  );
}

function Migrations({ migrations }: { migrations: MigrationReport[] }) {
  return (
    <section>
      <h2>Changes of the tables</h2>
      {migrations.length === 0 ? <p className="faint">There are no tables yet.</p> : (
        <table className="figures-table">
          <thead>
            <tr><th className="figure">Version</th><th>What it did</th><th className="figure">When</th><th>Release</th></tr>
          </thead>
          <tbody>
            {migrations.map((each) => (
              <tr key={each.version}>
                <td className="figure">{each.version}</td>
                <td>{each.name.replaceAll("_", " ")}</td>
                <td className="figure">{moment(each.applied_at).slice(0, 19)} UTC</td>
                <td>{each.release}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
