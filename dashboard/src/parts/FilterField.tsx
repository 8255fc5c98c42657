/** The filter: one line in the grammar that API, stream and command line share; a wrong one shows where. */

import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { Problem } from "../api/client";

interface Properties {
  value: string;
  onChange(value: string): void;
  /** What the server said of it. */
  error: unknown;
  label: string;
  placeholder: string;
  /** Whether `/` comes here; not where a view has a field that is more to the point. */
  isReachedBySlash?: boolean;
  /** What stands beside it, such as the saved views. */
  children?: ReactNode;
}

/** See above. Enter applies, Escape takes back; `/` from anywhere comes here. */
export function FilterField({ value, onChange, error, label, placeholder, isReachedBySlash = true, children }: Properties) {
  const [text, setText] = useState(value);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => setText(value), [value]);

  useEffect(() => {
    if (!isReachedBySlash) return;
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
      event.preventDefault();
      field.current?.select();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [isReachedBySlash]);

  const wrong = error instanceof Problem && error.status === 400 && text === value ? error : null;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    onChange(text.trim());
    // The next keys are for the list again.
    field.current?.blur();
  };
  return (
    <form className="filter" role="search" onSubmit={submit}>
      <input
        ref={field}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          setText(value);
          event.currentTarget.blur();
        }}
        placeholder={placeholder}
        aria-label={label}
        aria-invalid={wrong !== null}
        aria-describedby={wrong ? "filter-problem" : undefined}
        spellCheck={false}
        autoComplete="off"
        className="mono"
      />
      {value !== "" && (
        <button type="button" className="plain" onClick={() => onChange("")} aria-label="Take the filter away">
          ✕
        </button>
      )}
      {children}
      {wrong && (
        <p id="filter-problem" className="filter-problem bad" role="alert">
          {wrong.details?.position != null && (
            <code>
              {value.slice(0, wrong.details.position)}
              <u>{value.slice(wrong.details.position, wrong.details.position + 12) || "⟨end⟩"}</u>
            </code>
          )}{" "}
          {wrong.message}
        </p>
      )}
    </form>
  );
}

/** Whether keys go into a field, and must not be taken for commands. */
export function isTyping(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement && target.type === "checkbox") return false;
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
