/** The heads of both episodes: their figures side by side, and how the second differs. */

import type { ReactNode } from "react";
import { Link } from "wouter";

import type { ComparedEpisode, EpisodeComparison } from "../../api/schema";
import { StatusMark } from "../../parts/Marks";
import { count, duration, moment } from "../../steps/figures";
import { amountOf } from "../statistics/money";
import { differenceOf } from "./rows";

interface Properties {
  comparison: EpisodeComparison;
  onSwap(): void;
  children: ReactNode;
}

/** See above. */
export function Heads({ comparison: { a, b }, onSwap, children }: Properties) {
  return (
    <header className="compare-heads">
      <div className="compare-title">
        <h1>Compare</h1>
        <button onClick={onSwap}>⇄ Swap</button>
        <span className="stretch" />
        {children}
      </div>
      <Head side="A" compared={a} />
      <Head side="B" compared={b} />
      <table className="figures-table compare-figures">
        <thead>
          <tr><th><span className="unseen">Figure</span></th><th className="figure">A</th><th className="figure">B</th><th className="figure">B against A</th></tr>
        </thead>
        <tbody>
          <Row name="steps" a={a.episode.steps} b={b.episode.steps} words={count} />
          <Row name="errors" a={a.episode.errors} b={b.episode.errors} words={count} />
          <Row name="duration" a={a.duration_ns} b={b.duration_ns} words={duration} />
          <Row name="tokens" a={a.tokens} b={b.tokens} words={count} />
          {currencies(a, b).map((currency) => (
            <Row key={currency} name="cost" a={costOf(a, currency)} b={costOf(b, currency)} words={(amount) => amountOf({ amount, currency })} />
          ))}
        </tbody>
      </table>
    </header>
  );
}

function Head({ side, compared: { episode, steps, is_complete: isComplete } }: { side: "A" | "B"; compared: ComparedEpisode }) {
  const end = [episode.outcome, episode.score === null ? null : `score ${episode.score}`, episode.reason];
  return (
    <section className="compare-head" aria-label={`Episode ${side}`}>
      <h2 className="clip">
        <span className="compare-side">{side}</span>
        <Link href={`/episodes/${episode.id}`}>{episode.name || "unnamed"}</Link>
      </h2>
      <p className="clip">
        <StatusMark status={episode.status} />
        <span className="soft"> {end.filter((part) => part !== null && part !== "").join(" · ")}</span>
      </p>
      <p className="faint clip">
        {[episode.problem, `attempt ${episode.attempt}`, episode.role ?? episode.agent, moment(episode.started_at).slice(0, 19) + " UTC"].filter(Boolean).join(" · ")}
      </p>
      {!isComplete && <p className="chip bad">only its first {count(steps)} of {count(episode.steps)} steps are compared; duration, tokens and cost are theirs</p>}
    </section>
  );
}

function Row({ name, a, b, words }: { name: string; a: number; b: number; words(amount: number): string }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td className="figure">{words(a)}</td>
      <td className="figure">{words(b)}</td>
      <td className="figure">{differenceOf(a, b, words) ?? <span className="faint">=</span>}</td>
    </tr>
  );
}

function currencies(...sides: ComparedEpisode[]): string[] {
  return [...new Set(sides.flatMap(({ costs }) => costs.map(({ currency }) => currency)))].sort();
}

function costOf({ costs }: ComparedEpisode, currency: string): number {
  return costs.find((each) => each.currency === currency)?.amount ?? 0;
}
