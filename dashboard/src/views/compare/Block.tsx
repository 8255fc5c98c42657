/** A block of the alignment in two columns: what changed in full, what is the same or one-sided folded. */

import { useState } from "react";

import type { AlignedBlock, EpisodeComparison, BlockRelation, StepDifference } from "../../api/schema";
import { count } from "../../steps/figures";
import { ComparedStepLine } from "./ComparedStepLine";
import { Differences } from "./Differences";
import { stepsOf } from "./rows";
import { StepRange } from "./StepRange";

const WORDS: Record<BlockRelation, string> = { same: "the same", changed: "changed", only_a: "only in A", only_b: "only in B" };
const GLYPHS: Record<BlockRelation, string> = { same: "=", changed: "≠", only_a: "−", only_b: "+" };

interface Properties {
  block: AlignedBlock;
  comparison: EpisodeComparison;
  /** Whether the episodes part here. */
  isFirst: boolean;
  isChosen: boolean;
  onChoose(): void;
}

/** See above. */
export function Block({ block, comparison, isFirst, isChosen, onChoose }: Properties) {
  const { relation } = block;
  return (
    <section
      className={`block block-${relation}${isChosen ? " chosen" : ""}`}
      aria-current={isChosen ? "true" : undefined}
      onClick={(event) => {
        // A link leads away; to choose its block would lead back.
        if (!(event.target instanceof Element && event.target.closest("a, button"))) onChoose();
      }}
    >
      {isFirst && <p className="block-parting">⚑ Here they part</p>}
      {relation === "changed" ? <Changed block={block} comparison={comparison} /> : <Folded block={block} comparison={comparison} />}
    </section>
  );
}

function Changed({ block: { a_first: a, b_first: b, difference }, comparison }: { block: AlignedBlock; comparison: EpisodeComparison }) {
  return (
    <>
      <div className="block-sides">
        {a !== null && <ComparedStepLine episode={comparison.a.episode.id} sequence={a} compared={difference?.a ?? null} />}
        <RelationMark relation="changed" />
        {b !== null && <ComparedStepLine episode={comparison.b.episode.id} sequence={b} compared={difference?.b ?? null} />}
      </div>
      {difference === null ? (
        <p className="faint block-untold">So much changed that this is not told here; open the steps to see it.</p>
      ) : (
        <Told difference={difference} />
      )}
    </>
  );
}

function Told({ difference }: { difference: StepDifference }) {
  return (
    <>
      {difference.arguments.length > 0 && <Differences name="arguments" differences={difference.arguments} />}
      {difference.result.length > 0 && <Differences name="result" differences={difference.result} />}
    </>
  );
}

/** Entries of one relation: their count, and a press unfolds the steps. */
function Folded({ block, comparison }: { block: AlignedBlock; comparison: EpisodeComparison }) {
  const { relation, entries, a_first: aFirst, a_last: aLast, b_first: bFirst, b_last: bLast } = block;
  const [isOpen, setOpen] = useState(relation !== "same" && entries <= 3);
  const side = (episode: string, first: number | null, last: number | null) =>
    isOpen ? <StepRange episode={episode} first={first} last={last} /> : <span className="faint figure">{stepsOf(first, last)}</span>;
  return (
    <div className={`block-sides${isOpen ? " block-open" : ""}`}>
      {side(comparison.a.episode.id, aFirst, aLast)}
      <button className="plain" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span aria-hidden>{isOpen ? "▾" : "▸"}</span> <RelationMark relation={relation} entries={entries} />
      </button>
      {side(comparison.b.episode.id, bFirst, bLast)}
    </div>
  );
}

function RelationMark({ relation, entries = null }: { relation: BlockRelation; entries?: number | null }) {
  return (
    <span className={`relation relation-${relation}`}>
      <span aria-hidden>{GLYPHS[relation]}</span> {entries === null ? "" : `${count(entries)} `}{WORDS[relation]}
    </span>
  );
}
