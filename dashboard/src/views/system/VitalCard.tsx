/** A vital as a card: its standing in a glyph and a word, its figure, and what to do where it is not well. */

import type { Standing, Share, Vital } from "./vital";

const GLYPHS: Record<Standing, string> = { well: "✓", quiet: "–", warn: "⚠", bad: "✕" };
const WORDS: Record<Standing, string> = { well: "well", quiet: "nothing to judge", warn: "look at it", bad: "not well" };

/** See above. */
export function VitalCard({ vital: { name, standing, figure, details, meaning, advice, share } }: { vital: Vital }) {
  return (
    <article className={`vital vital-${standing}`}>
      <header>
        <span className="vital-glyph" aria-hidden>{GLYPHS[standing]}</span>
        <h3>{name}</h3>
        <span className="unseen">: {WORDS[standing]}</span>
        <strong className="figure">{figure}</strong>
      </header>
      {share && <Gauge share={share} name={name} />}
      <p className="soft">{meaning}</p>
      {advice !== null && <p className="vital-advice">{withCode(advice)}</p>}
      {details.length > 0 && (
        <dl className="vital-details">
          {details.map(([what, each]) => (
            <div key={what}><dt>{what}</dt><dd className="figure" title={each}>{each}</dd></div>
          ))}
        </dl>
      )}
    </article>
  );
}

function Gauge({ share: { part, bound, words }, name }: { share: Share; name: string }) {
  const percent = Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10;
  return (
    <div className="gauge" role="meter" aria-label={name} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} aria-valuetext={words} title={words}>
      <div className="gauge-part" style={{ width: `${percent}%` }} />
      {bound !== null && <div className="gauge-bound" style={{ left: `${Math.min(99.5, bound * 100)}%` }} />}
    </div>
  );
}

/** What stands between backticks is to be typed. */
function withCode(text: string) {
  return text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part));
}
