/** What was found, and how far was looked: a list that grows while it is found. */

import { useRef, useState } from "react";
import { Link, useLocation } from "wouter";

import type { SearchHit } from "../../api/schema";
import { FixedList, type ListHandle } from "../../parts/FixedList";
import { useKeys } from "../../parts/keys";
import { KindMark } from "../../parts/Marks";
import { useNow } from "../../parts/time";
import { Trouble } from "../../parts/Trouble";
import { useBeat } from "../../parts/useBeat";
import { ago, count, moment } from "../../steps/figures";
import { piecesOf } from "./pieces";
import type { SearchHits } from "./search_hits";

const ROW = 68;

/** See above. */
export function Hits({ hits, twin }: { hits: SearchHits; twin: string }) {
  const { items, error, isLoading, isComplete } = useBeat(hits);
  const [chosen, setChosen] = useState(-1);
  const [, go] = useLocation();
  const handle = useRef<ListHandle>(null);

  const choose = (place: number): void => {
    const next = Math.min(items.length - 1, Math.max(0, place));
    setChosen(next);
    handle.current?.show(next);
  };
  useKeys({
    j: () => choose(chosen + 1),
    k: () => choose(chosen - 1),
    ArrowDown: () => choose(chosen + 1),
    ArrowUp: () => choose(chosen - 1),
    g: () => choose(0),
    G: () => choose(items.length - 1),
    Enter: () => {
      const hit = items[chosen] ?? items[0];
      if (hit) go(addressOf(hit));
    },
  });

  if (error !== null && items.length === 0) return <Trouble error={error} onRetry={() => void hits.more()} />;
  return (
    <>
      <Extent hits={hits} twin={twin} />
      {items.length === 0 && isComplete && !isLoading ? (
        <Nothing hits={hits} />
      ) : (
        <div className="hits" role="table" aria-label="Steps found" aria-rowcount={isComplete ? items.length : -1}>
          <FixedList
            handle={handle}
            length={items.length}
            rowHeight={ROW}
            label="Steps found"
            onRange={(_, last) => hits.look(last)}
            row={(place) => {
              const hit = items[place];
              return hit && <Hit key={hit.id} hit={hit} place={place} isChosen={place === chosen} />;
            }}
          />
        </div>
      )}
    </>
  );
}

/** How much was found in how much: nothing is called all that is not. */
function Extent({ hits, twin }: { hits: SearchHits; twin: string }) {
  const { items, error, isLoading, isComplete, isTired, searchedTo, indexedTo, lastCursor } = hits;
  const found = `${count(items.length)}${isComplete ? "" : "+"} ${items.length === 1 ? "step" : "steps"} found`;
  return (
    <div className="search-extent">
      <p role="status">
        {lastCursor === null ? "looking" : found}
        {lastCursor !== null && isComplete && <span className="faint"> · everything was looked at</span>}
        {lastCursor !== null && !isComplete && searchedTo !== null && (
          <span className="faint"> · looked at the newest {count(lastCursor - searchedTo + 1)} of {count(lastCursor)} recorded</span>
        )}
        {isLoading && <span className="faint"> · looking on…</span>}
      </p>
      {lastCursor !== null && indexedTo < lastCursor && (
        <span className="chip" title="Steps beyond that are read one by one, which is slow where they are many.">
          indexed to {count(indexedTo)} of {count(lastCursor)}
        </span>
      )}
      {(isTired || error !== null) && (
        <button onClick={() => void hits.more()}>{error === null ? "Look further back" : "Try again"}</button>
      )}
      {error !== null && <span className="chip bad" role="alert">{error instanceof Error ? error.message : String(error)}</span>}
      <span className="stretch" />
      <a className="faint" href={twin}>JSON</a>
    </div>
  );
}

function Nothing({ hits: { wanted } }: { hits: SearchHits }) {
  return (
    <div className="note">
      <h2>No step has these words.</h2>
      <p className="soft">
        {wanted.words.includes(" ") && !wanted.words.includes('"') ? "All of them must be in one step. Leave one out, or" : "Only whole words are found:"}
        {" "}put <code>*</code> behind the beginning of one.
        {wanted.filter && <> The filter <code>{wanted.filter}</code> must hold, too.</>}
        {wanted.episode && <> Only one episode was looked at.</>}
      </p>
    </div>
  );
}

function Hit({ hit, place, isChosen }: { hit: SearchHit; place: number; isChosen: boolean }) {
  const now = useNow();
  const [, go] = useLocation();
  return (
    <div
      role="row"
      aria-rowindex={place + 1}
      aria-selected={isChosen}
      className={`hit${isChosen ? " chosen" : ""}${hit.kind === "error_report" ? " failed" : ""}`}
      onClick={() => go(addressOf(hit))}
    >
      <div role="cell" className="hit-place">
        <KindMark kind={hit.kind} />
        <Link href={addressOf(hit)} className="clip" onClick={(event) => event.stopPropagation()}>
          {hit.episode_name || "unnamed"} <span className="faint figure">#{hit.sequence}</span>
        </Link>
        <span className="soft clip">{hit.role ?? hit.agent}</span>
        <span className="stretch" />
        <span className="faint figure" title={moment(hit.occurred_at)}>{ago(hit.occurred_at, now)}</span>
      </div>
      <p role="cell" className="hit-snippet">
        {piecesOf(hit.snippet).map((piece, index) => (piece.isMarked ? <mark key={index}>{piece.text}</mark> : piece.text))}
      </p>
    </div>
  );
}

function addressOf(hit: SearchHit): string {
  return `/episodes/${hit.episode_id}?step=${hit.sequence}`;
}
