/** What stands where no step does. */

import { FilteredLog } from "./filtered_log";
import type { StepLog } from "./step_log";

/** See above. */
export function NoSteps({ log }: { log: StepLog }) {
  if (log.isLoading) return <div className="note" aria-busy><div className="skeleton" style={{ width: 260 }} /></div>;
  return (
    <div className="note">
      {log instanceof FilteredLog ? (
        <>
          <h2>No step passes this filter yet.</h2>
          <p className="soft">Each part of <code>{log.filter}</code> must hold. Steps that pass appear as they come.</p>
        </>
      ) : (
        <h2>Nothing was logged yet.</h2>
      )}
    </div>
  );
}
