import { expect, test } from "vitest";

import { excerpt } from "../src/payload/excerpt";
import { isLibrary, shortType, stretches, whereToLook } from "../src/payload/frames";
import { isPlain, loadRenderer } from "../src/payload/markdown";
import { fieldsOf } from "../src/payload/own_kind";
import { figure, preview } from "../src/payload/preview";

const frame = (file: string) => ({ file, line: 1, function: "f", code: null });
const own = frame("/home/ann/project/tools/solve.py");
const library = frame("/usr/lib/python3.11/json/decoder.py");

test("A short text is shown whole.", () => {
  expect(excerpt("one\ntwo", 3, 100)).toEqual({ shown: "one\ntwo", lines: 2, isCut: false });
});

test("A long text is cut behind a line, and the number of its lines is told.", () => {
  expect(excerpt("one\ntwo\nthree\nfour\n", 2, 100)).toEqual({ shown: "one\ntwo", lines: 4, isCut: true });
});

test("A long line is cut between words.", () => {
  expect(excerpt("some words that go on", 3, 12).shown).toBe("some words");
});

test("A line break at the end of a text cuts nothing.", () => {
  expect(excerpt("one\ntwo\n", 2, 100).isCut).toBe(false);
});

test("Lines of libraries are told from the project's own.", () => {
  expect(isLibrary(library)).toBe(true);
  expect(isLibrary(frame("C:\\env\\Lib\\site-packages\\numpy\\core.py"))).toBe(true);
  expect(isLibrary(frame("<frozen importlib._bootstrap>"))).toBe(true);
  expect(isLibrary(own)).toBe(false);
});

test("A traceback is told in stretches of own lines and of others.", () => {
  expect(stretches([library, own, own, library]).map(({ isOwn, frames }) => [isOwn, frames.length])).toEqual([
    [false, 1], [true, 2], [false, 1],
  ]);
});

test("Where no line is the project's own, none is hidden.", () => {
  expect(stretches([library, library])).toEqual([{ isOwn: true, frames: [library, library] }]);
});

test("One looks first at the innermost line of one's own.", () => {
  expect(whereToLook([own, library])).toBe(own);
  expect(whereToLook([])).toBeNull();
});

test("An exception is called without its module.", () => {
  expect(shortType("stepstream.demo.bracket.PlateTooNarrow")).toBe("PlateTooNarrow");
});

test("A long list is told by how it begins and how long it is.", () => {
  expect(preview([1, 2, 3, 4, 5, 6, 7, 8])).toBe("[1, 2, 3, 4, 5, 6, … 8]");
  expect(preview([{ a: 1 }, { a: 2 }])).toBe("[{a: 1}, … 2]");
});

test("Numbers have the digits that are read.", () => {
  expect(figure(202.90694502671602)).toBe("202.907");
  expect(figure(1234567)).toBe("1234567");
});

test("Fields of a project's own kind have what its schema says of them.", () => {
  const schema = {
    description: "A result.\n\nAttributes:\n    governing: What gives way first,\n        of all members.\n    mode: How.",
    properties: {
      stress: { title: "Stress", type: "number", unit: "MPa", description: "The highest." },
      mode: { $ref: "#/$defs/Mode" },
      governing: { anyOf: [{ type: "string", format: "date-time" }, { type: "null" }], title: "What governs" },
    },
    $defs: { Mode: { enum: ["static", "modal"], title: "Mode", description: "A mode." } },
  };
  const found = fieldsOf(schema, { stress: 1, mode: "static", governing: "x", more: 2 });
  expect(found).toEqual([
    { key: "stress", label: "stress", description: "The highest.", unit: "MPa", format: null, isEnum: false },
    { key: "mode", label: "mode", description: "How.", unit: null, format: null, isEnum: true },
    { key: "governing", label: "What governs", description: "What gives way first, of all members.", unit: null, format: "date-time", isEnum: false },
    { key: "more", label: "more", description: null, unit: null, format: null, isEnum: false },
  ]);
});

test("A payload without a schema is told by its own fields.", () => {
  expect(fieldsOf(null, { a: 1 }).map(({ key }) => key)).toEqual(["a"]);
});

test("Plain words need no markdown.", () => {
  expect(isPlain("By hand, 60 mm must be 7.5 mm thick.")).toBe(true);
  expect(isPlain("**bold**")).toBe(false);
  expect(isPlain("- one\n- two")).toBe(false);
});

test("Markdown becomes markup that can do nothing.", async () => {
  const render = await loadRenderer();
  const markup = render("[a](javascript:alert(1)) <img src=x onerror=alert(1)> <script>alert(1)</script> ![p](https://x.org/p.png)");
  expect(markup).not.toMatch(/<(img|script)/);
  expect(markup).not.toContain("javascript:");
  expect(markup).toContain('href="https://x.org/p.png"');
  expect(markup).toContain('rel="noopener noreferrer"');
});
