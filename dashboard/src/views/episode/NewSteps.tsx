/** The pill over a list that waits: how much is new, and the way there. */

import { count } from "../../steps/figures";
import type { Following } from "./following";

/** See above. */
export function NewSteps({ following: { isFollowing, newRows, newErrors, follow } }: { following: Following }) {
  if (isFollowing || newRows <= 0) return null;
  return (
    <button className="pill new-steps main" onClick={follow}>
      ↓ {count(newRows)} new{newErrors > 0 && `, ${count(newErrors)} ${newErrors === 1 ? "error" : "errors"}`}
    </button>
  );
}
