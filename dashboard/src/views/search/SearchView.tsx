/** Search: the steps that have some words, the newest first, in all episodes or in one. */

import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import { Link, useSearchParams } from "wouter";

import { address, get } from "../../api/client";
import type { EpisodeSummary } from "../../api/schema";
import { useHealth } from "../../live/health";
import { FilterField } from "../../parts/FilterField";
import { SavedViews } from "../../parts/SavedViews";
import { Hits } from "./Hits";
import { SearchHits } from "./search_hits";
import { WordsField } from "./WordsField";
import "./search.css";

/** See above. */
export default function SearchView() {
  const [search, setSearch] = useSearchParams();
  const words = search.get("q") ?? "";
  const filter = search.get("filter") ?? "";
  const episode = search.get("episode");
  const hits = useSearchHits(words, filter, episode);
  useHealth();
  useEffect(() => {
    document.title = words ? `${words} · stepstream` : "Search · stepstream";
    return () => { document.title = "stepstream"; };
  }, [words]);

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
    <main className="search">
      <h1 className="unseen">Search</h1>
      <div className="search-head">
        <WordsField value={words} onChange={(text) => change("q", text)} />
        <FilterField
          value={filter}
          onChange={(text) => change("filter", text)}
          error={null}
          label="Filter of what is found"
          placeholder="Filter:  kind:error  role:engineer  since:-1h"
          isReachedBySlash={false}
        >
          <SavedViews place="search" />
        </FilterField>
      </div>
      {episode !== null && <Inside episode={episode} onLeave={() => change("episode", "")} />}
      {words === "" && <HowTo />}
      {words !== "" && hits !== null && (
        <Hits key={JSON.stringify(hits.wanted)} hits={hits} twin={address("/search", { q: words, filter, episode })} />
      )}
    </main>
  );
}

/** What is found; while one types, what was found before stays until something is. */
function useSearchHits(words: string, filter: string, episode: string | null): SearchHits | null {
  const [hits, setHits] = useState<SearchHits | null>(null);
  useEffect(() => {
    if (words === "") return;
    const begun = new SearchHits({ words, filter, episode });
    const unsubscribe = begun.subscribe(() => {
      if (begun.items.length === 0 && begun.isLoading) return;
      unsubscribe();
      setHits(begun);
    });
    return () => begun.close();
  }, [words, filter, episode]);
  return hits;
}

function Inside({ episode, onLeave }: { episode: string; onLeave(): void }) {
  const { data } = useQuery({
    queryKey: ["episode", episode],
    queryFn: ({ signal }) => get<EpisodeSummary>(`/episodes/${episode}`, {}, signal),
  });
  return (
    <p className="search-inside">
      Only in <Link href={`/episodes/${episode}`}>{data?.episode.name || data?.episode.id || episode}</Link>
      <button className="plain" onClick={onLeave}>in all episodes</button>
    </p>
  );
}

function HowTo() {
  return (
    <div className="note">
      <h2>Which words?</h2>
      <p className="soft">
        Everything that was recorded is looked through: thoughts, arguments, results, errors, messages, logs.
      </p>
      <dl className="search-grammar">
        <div><dt><code>bolt stress</code></dt><dd>both words, anywhere in a step</dd></div>
        <div><dt><code>"did not converge"</code></dt><dd>side by side</dd></div>
        <div><dt><code>max_str*</code></dt><dd>words that begin so</dd></div>
        <div><dt><code>bolt -gusset</code></dt><dd>without that word</dd></div>
      </dl>
    </div>
  );
}
