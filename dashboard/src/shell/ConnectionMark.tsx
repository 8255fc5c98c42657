/** How the connection stands, in a word; nothing is ever called live that is not. */

import { connection } from "../live/connection";
import { useNow } from "../parts/time";
import { useBeat } from "../parts/useBeat";
import { ago } from "../steps/figures";

/** See above. */
export function ConnectionMark() {
  const { standing, sinceMs } = useBeat(connection);
  const now = useNow();
  const away = standing === "away" ? `reconnecting; last heard ${ago(sinceMs * 1e6, now)}` : standing;
  return (
    <span className={`chip${standing === "away" ? " bad" : ""}`} role="status">
      <span className={`status ${standing === "live" ? "status-running" : ""}`}>
        <span className="dot" aria-hidden />
      </span>
      {away}
    </span>
  );
}
