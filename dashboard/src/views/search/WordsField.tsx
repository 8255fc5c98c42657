/** The field for the words: it looks while one types, a moment after the last letter. */

import { type KeyboardEvent, useEffect, useRef, useState } from "react";

import { isTyping } from "../../parts/FilterField";

const PAUSE_MS = 200;

/** See above. `/` comes here; Enter goes on to the hits. */
export function WordsField({ value, onChange }: { value: string; onChange(words: string): void }) {
  const [text, setText] = useState(value);
  const field = useRef<HTMLInputElement>(null);
  const said = useRef(value);
  useEffect(() => {
    // Our own words come back in the address while others are typed already.
    if (value !== said.current) setText(value);
    said.current = value;
  }, [value]);

  const say = (): void => {
    if (text.trim() === said.current) return;
    said.current = text.trim();
    onChange(said.current);
  };
  useEffect(() => {
    const timer = setTimeout(say, PAUSE_MS);
    return () => clearTimeout(timer);
  });

  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent): void => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
      event.preventDefault();
      field.current?.select();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Enter") say();
    if (event.key !== "Enter" && event.key !== "Escape" && event.key !== "ArrowDown") return;
    event.preventDefault();
    field.current?.blur();
  };
  return (
    <input
      ref={field}
      type="search"
      className="search-words"
      value={text}
      onChange={(event) => setText(event.target.value)}
      onKeyDown={onKey}
      placeholder='Words, "words side by side", wor*, -without   ( / )'
      aria-label="Words to look for"
      spellCheck={false}
      autoComplete="off"
      autoFocus={value === ""}
    />
  );
}
