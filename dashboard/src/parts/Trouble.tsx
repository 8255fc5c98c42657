/** What to show instead of an answer: what failed, under which id the server knows it, and a way on. */

import { Problem } from "../api/client";

/** An error with its way on. */
export function Trouble({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  return (
    <div className="note" role="alert">
      <h2 className="bad">{problem?.details?.title ?? "That did not work"}</h2>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {problem?.details && <p className="faint mono">request {problem.details.request_id}</p>}
      {onRetry && <button onClick={onRetry}>Try again</button>}
    </div>
  );
}
