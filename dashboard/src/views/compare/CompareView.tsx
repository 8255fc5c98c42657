/** Two episodes side by side: what is the same, what changed, what only one of them has, and where they part. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useRef } from "react";
import { Link, useSearchParams } from "wouter";

import { address, get } from "../../api/client";
import type { EpisodeComparison } from "../../api/schema";
import { useHealth } from "../../live/health";
import { useKeys } from "../../parts/keys";
import { Renewal } from "../../parts/Renewal";
import { Trouble } from "../../parts/Trouble";
import { count } from "../../steps/figures";
import { Block } from "./Block";
import { Heads } from "./Heads";
import { firstDifference, nextDifference } from "./rows";
import "../../parts/figures-table.css";
import "./compare.css";

const ROW_GUESS = 64;
const RENEW_MS = 5_000;

/** See above. */
export default function CompareView() {
  const [search, setSearch] = useSearchParams();
  const a = search.get("a") ?? "";
  const b = search.get("b") ?? "";
  const isAsked = a !== "" && b !== "";
  const { data, error, dataUpdatedAt, refetch } = useQuery({
    queryKey: ["compare", a, b],
    queryFn: ({ signal }) => get<EpisodeComparison>("/compare", { a, b }, signal),
    enabled: isAsked,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (isOpen(state.data) ? RENEW_MS : false),
    retry: false,
  });
  useHealth();
  useEffect(() => {
    document.title = "Compare · stepstream";
    return () => { document.title = "stepstream"; };
  }, []);

  if (!isAsked) return <HowTo />;
  if (data === undefined) return error === null ? <Waiting /> : <Trouble error={error} onRetry={() => void refetch()} />;
  const swap = (): void =>
    setSearch((before) => {
      const after = new URLSearchParams(before);
      after.set("a", b);
      after.set("b", a);
      return after;
    });
  return (
    <main className="compare">
      <Heads comparison={data} onSwap={swap}>
        {(isOpen(data) || error !== null) && <Renewal at={dataUpdatedAt} everyMs={RENEW_MS} error={error} />}
        <a className="faint" href={address("/compare", { a, b })}>JSON</a>
      </Heads>
      <Alignment comparison={data} />
    </main>
  );
}

function isOpen(comparison: EpisodeComparison | undefined): boolean {
  return comparison !== undefined && [comparison.a, comparison.b].some(({ episode }) => episode.status === "running");
}

function Alignment({ comparison }: { comparison: EpisodeComparison }) {
  const { blocks } = comparison;
  const [search, setSearch] = useSearchParams();
  const pane = useRef<HTMLDivElement>(null);
  const parting = firstDifference(comparison);
  const wanted = search.get("at");
  const chosen = wanted !== null && /^\d{1,6}$/.test(wanted) ? Math.min(Number(wanted), blocks.length - 1) : null;
  const rows = useVirtualizer({
    count: blocks.length,
    getScrollElement: () => pane.current,
    estimateSize: () => ROW_GUESS,
    overscan: 6,
  });

  const choose = useCallback(
    (place: number) =>
      setSearch((before) => {
        const after = new URLSearchParams(before);
        after.set("at", String(place));
        return after;
      }, { replace: true }),
    [setSearch],
  );
  useEffect(() => {
    if (chosen !== null) rows.scrollToIndex(chosen, { align: "auto" });
  }, [chosen, rows]);
  useKeys({
    d: () => parting !== null && choose(parting),
    j: () => choose(nextDifference(blocks, chosen ?? -1, 1)),
    k: () => choose(nextDifference(blocks, chosen ?? blocks.length, -1)),
    g: () => choose(0),
    G: () => choose(blocks.length - 1),
  });

  return (
    <div className="compare-blocks" ref={pane} tabIndex={0} role="region" aria-label="Steps side by side">
      <p className="compare-sum">
        {parting === null ? <strong className="good">✓ They are the same.</strong> : (
          <button onClick={() => choose(parting)}>⚑ First difference <kbd>d</kbd></button>
        )}
        <span>{count(comparison.same)} the same</span>
        <span>{count(comparison.changed)} changed</span>
        <span>{count(comparison.only_a)} only in A</span>
        <span>{count(comparison.only_b)} only in B</span>
        {!comparison.is_minimal && <span className="faint">The episodes are long: a shorter list of differences may exist.</span>}
      </p>
      <ol style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ index, start }) => {
          const block = blocks[index];
          return block && (
            <li key={index} ref={rows.measureElement} data-index={index} style={{ transform: `translateY(${start}px)` }}>
              <Block block={block} comparison={comparison} isFirst={index === parting} isChosen={index === chosen} onChoose={() => choose(index)} />
            </li>
          );
        })}
      </ol>
    </div>
  );
}

function Waiting() {
  return <div className="note" aria-busy><p className="soft">Two episodes are read and put side by side…</p></div>;
}

function HowTo() {
  return (
    <main className="note">
      <h1>Which two episodes?</h1>
      <p className="soft">
        Mark two in the list of <Link href="/">episodes</Link> with <kbd>x</kbd>, then press Compare.
      </p>
    </main>
  );
}
