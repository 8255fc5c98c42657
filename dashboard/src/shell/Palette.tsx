/** The command palette: every view, command and episode, a few letters away. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";

import { get } from "../api/client";
import type { EpisodePage, EpisodeSummary } from "../api/schema";
import { StatusMark } from "../parts/Marks";
import { useNow } from "../parts/time";
import { ago } from "../steps/figures";
import { type Command, commands, isId, quoted, searchCommand } from "./commands";
import { type Fit, fitting } from "./fuzzy";
import "./palette.css";

const EPISODES_SHOWN = 8;
const PAUSE_MS = 120;

/** What can be chosen: how it looks, and what happens. */
interface Choice {
  id: string;
  look: ReactNode;
  run(): void;
}

/** See above. */
export default function Palette({ onClose, onKeys }: { onClose(): void; onKeys(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const [path, go] = useLocation();
  const [text, setText] = useState("");
  const [place, setPlace] = useState(0);
  const episodes = useEpisodes(useSettled(text.trim()));
  useEffect(() => dialog.current?.showModal(), []);

  const choices = choicesOf(text.trim(), episodes.data ?? [], commands({ go, showKeys: onKeys, path }), go);
  const chosen = Math.min(place, choices.length - 1);
  const run = (choice: Choice | undefined): void => {
    if (choice === undefined) return;
    dialog.current?.close();
    choice.run();
  };
  const onKey = (event: KeyboardEvent): void => {
    const to = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, Home: 0, End: choices.length - 1 }[event.key];
    if (to === undefined && event.key !== "Enter") return;
    event.preventDefault();
    if (to === undefined) {
      run(choices[chosen]);
      return;
    }
    const next = (to + choices.length) % Math.max(1, choices.length);
    setPlace(next);
    list.current?.children[next]?.scrollIntoView({ block: "nearest" });
  };
  return (
    <dialog
      ref={dialog}
      className="palette"
      aria-label="Command palette"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <input
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setPlace(0);
        }}
        onKeyDown={onKey}
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-choices"
        aria-activedescendant={choices[chosen]?.id}
        aria-autocomplete="list"
        aria-label="A view, a command, or an episode by its name or id"
        placeholder="A view, a command, an episode by name or id"
        spellCheck={false}
        autoComplete="off"
        autoFocus
      />
      <ul ref={list} id="palette-choices" role="listbox" aria-label="Choices">
        {choices.map((choice, index) => (
          <li
            key={choice.id}
            id={choice.id}
            role="option"
            aria-selected={index === chosen}
            onPointerMove={() => setPlace(index)}
            onClick={() => run(choice)}
          >
            {choice.look}
          </li>
        ))}
      </ul>
      {episodes.error !== null && <p className="palette-note bad" role="alert">Episodes are not told: {episodes.error.message}</p>}
      <p className="palette-note faint"><kbd>↑</kbd> <kbd>↓</kbd> choose · <kbd>Enter</kbd> go · <kbd>Esc</kbd> back</p>
    </dialog>
  );
}

/** A text once it has not changed for a moment: the server is not asked at every letter. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

/** The episodes that a text names, or the latest; one that has it for an id is the first. */
function useEpisodes(text: string) {
  return useQuery({
    queryKey: ["palette", text],
    queryFn: async ({ signal }): Promise<EpisodeSummary[]> => {
      const named = await get<EpisodePage>("/episodes", { filter: text && quoted(text), limit: EPISODES_SHOWN }, signal);
      const byId = isId(text) ? await get<EpisodeSummary>(`/episodes/${text}`, {}, signal).catch(() => null) : null;
      const others = named.items.filter(({ episode }) => episode.id !== byId?.episode.id);
      return byId === null ? others : [byId, ...others];
    },
    placeholderData: keepPreviousData,
    retry: false,
  });
}

function choicesOf(text: string, episodes: EpisodeSummary[], all: Command[], go: (address: string) => void): Choice[] {
  const choice = ({ item, fit }: { item: Command; fit: Fit }): Choice => ({
    id: `palette-${item.name}`.replaceAll(/\W+/g, "-"),
    look: <CommandLine command={item} places={fit.places} />,
    run: item.run,
  });
  const known = fitting(text, all, ({ name }) => name);
  const found = episodes.map((summary): Choice => ({
    id: `palette-${summary.episode.id}`,
    look: <EpisodeLine summary={summary} />,
    run: () => go(`/episodes/${summary.episode.id}`),
  }));
  if (text === "") {
    // The latest episodes stand in sight, before what is done rarely.
    const isPlace = ({ item }: { item: Command }): boolean => item.hint === "here" || item.hint === "view";
    return [...known.filter(isPlace).map(choice), ...found, ...known.filter((each) => !isPlace(each)).map(choice)];
  }
  const search = searchCommand(text, go);
  return [...known.map(choice), ...found, { id: "palette-search", look: <CommandLine command={search} places={[]} />, run: search.run }];
}

function CommandLine({ command: { name, hint, key }, places }: { command: Command; places: number[] }) {
  const meant = new Set(places);
  return (
    <>
      <span className="clip">{Array.from(name, (letter, place) => (meant.has(place) ? <b key={place}>{letter}</b> : letter))}</span>
      <span className="stretch" />
      <span className="faint">{hint}</span>
      {key !== null && <kbd>{key}</kbd>}
    </>
  );
}

function EpisodeLine({ summary: { episode } }: { summary: EpisodeSummary }) {
  const now = useNow();
  return (
    <>
      <StatusMark status={episode.status} brief />
      <span className="clip">{episode.name || "unnamed"}</span>
      <span className="faint clip">{[episode.problem, episode.attempt > 1 ? `attempt ${episode.attempt}` : null].filter(Boolean).join(" · ")}</span>
      <span className="stretch" />
      <span className="faint figure">{ago(episode.started_at, now)}</span>
    </>
  );
}
