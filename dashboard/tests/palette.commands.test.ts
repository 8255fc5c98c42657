import { expect, test } from "vitest";

import { commands, isId, quoted, searchCommand } from "../src/shell/commands";
import { fit, fitting } from "../src/shell/fuzzy";

test("Letters fit in their order, and beginnings of words fit best.", () => {
  expect(fit("cth", "Compare this")?.places).toEqual([0, 8, 9]);
  expect(fit("xyz", "Compare")).toBeNull();
  const names = fitting("s", ["Episodes", "Theme: system", "Search"], (name) => name).map(({ item }) => item);
  expect(names[0]).toBe("Search");
  expect(names.at(-1)).toBe("Episodes");
});

test("Letters that stand together fit better than those that are far apart.", () => {
  const [best] = fitting("ace", ["abxcxe", "trace"], (name) => name);
  expect(best?.item).toBe("trace");
});

test("Nothing typed keeps everything in its order.", () => {
  expect(fitting("", ["b", "a"], (name) => name).map(({ item }) => item)).toEqual(["b", "a"]);
});

test("A text with quotes goes into a filter as one text.", () => {
  expect(quoted('say "no" \\ now')).toBe('"say \\"no\\" \\\\ now"');
});

test("The beginning of an id is told from a word.", () => {
  expect(["01a20520", "01a20520-1edd-71d3-bbad-c407255392fd", "@last"].map(isId)).toEqual([true, true, true]);
  expect(["bracket-14", "facade", "01"].map(isId)).toEqual([false, false, false]);
});

test("In an episode its own commands come first.", () => {
  const gone: string[] = [];
  const reach = { go: (address: string) => gone.push(address), showKeys: () => {}, path: "/episodes/01a2" };
  commands(reach)[0]?.run();
  searchCommand("a b&c", reach.go).run();
  expect(gone).toEqual(["/search?episode=01a2", "/search?q=a+b%26c"]);
});
