/** How new what is shown is, where it is renewed by asking; and how old, where nobody answers. */

import { ago } from "../steps/figures";
import { useNow } from "./time";

interface Properties {
  /** When it was answered last, in ms since 1970. */
  at: number;
  everyMs: number;
  /** Why it was not since. */
  error: unknown;
}

/** See above. */
export function Renewal({ at, everyMs, error }: Properties) {
  const now = useNow();
  if (error === null) return <span className="faint figure">renewed every {everyMs / 1_000} s</span>;
  const why = error instanceof Error ? error.message : String(error);
  return (
    <span className="chip bad">
      as of {ago(at * 1e6, now)}: <span role="status">{why}</span>
    </span>
  );
}
