/** The commands of the palette: what can be done from anywhere, and what can be done where one is. */

import { chooseTheme, THEMES } from "./theme";

/** A command with its name, and the key that does the same. */
export interface Command {
  name: string;
  /** What it is about; the word beside its name. */
  hint: "here" | "view" | "theme" | "help" | "search";
  key: string | null;
  run(): void;
}

/** What commands work with. */
export interface Reach {
  go(address: string): void;
  showKeys(): void;
  /** The path one is at. */
  path: string;
}

const VIEWS: [name: string, address: string][] = [
  ["Episodes", "/"],
  ["Search", "/search"],
  ["Metrics", "/statistics"],
  ["System", "/system"],
  ["Compare", "/compare"],
];

/** All of them, those of the present view first. */
export function commands({ go, showKeys, path }: Reach): Command[] {
  const command = (name: string, hint: Command["hint"], run: () => void, key: string | null = null): Command => ({ name, hint, key, run });
  return [
    ...commandsOf(path, go),
    ...VIEWS.map(([name, address]) => command(name, "view", () => go(address))),
    ...THEMES.map((theme) => command(`Theme: ${theme}`, "theme", () => chooseTheme(theme), theme === "system" ? "t" : null)),
    command("Keys", "help", showKeys, "?"),
  ];
}

function commandsOf(path: string, go: (address: string) => void): Command[] {
  const episode = /^\/episodes\/([^/]+)$/.exec(path)?.[1];
  if (episode === undefined) return [];
  return [
    { name: "Search in this episode", hint: "here", key: null, run: () => go(`/search?episode=${episode}`) },
    { name: "Compare this episode with another", hint: "here", key: null, run: () => go(`/?compare=${episode}`) },
  ];
}

/** What a text can be taken for beside names: words to look for. */
export function searchCommand(text: string, go: (address: string) => void): Command {
  const address = `/search?${new URLSearchParams({ q: text })}`;
  return { name: `Search all steps for “${text}”`, hint: "search", key: null, run: () => go(address) };
}

/** A text as the filter grammar takes it whole. */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Whether a text can be an id of an episode, or the beginning of one. */
export function isId(text: string): boolean {
  return /^(?=.*\d)[0-9a-f]{8}(-[0-9a-f-]{0,28})?$/i.test(text) || text === "@last";
}
