/** What is told of the step, or the density, under the pointer. */

import { KindMark, StatusMark } from "../../../parts/Marks";
import { clock, count, duration } from "../../../steps/figures";
import type { Hit } from "./hit";

const WIDTH = 300;
const BESIDE = 14;

interface Properties {
  hit: Hit;
  x: number;
  y: number;
  began: number;
  now: number;
  /** Of the pane. */
  width: number;
}

/** See above. */
export function Told({ hit: { band, bar, cell }, x, y, began, now, width }: Properties) {
  const left = Math.max(0, Math.min(x + BESIDE, width - WIDTH - 8));
  return (
    <div className="waterfall-hover" style={{ left, top: y + 58, maxWidth: WIDTH }} aria-hidden>
      {bar ? (
        <>
          <p><KindMark kind={bar.kind} /> <span className="faint figure">#{bar.sequence}</span></p>
          {bar.label && <p className="waterfall-hover-label">{bar.label}</p>}
          <p className="figure soft">
            {bar.status && <><StatusMark status={bar.status} /> {duration((bar.to ?? now) - bar.from)} · </>}
            {duration(bar.from)} in, {clock(began + bar.from)}
          </p>
          {bar.who && <p className="faint clip">{bar.who}</p>}
        </>
      ) : cell && (
        <>
          <p className="clip">{band.name}</p>
          <p className="figure soft">
            {count(cell.steps)} steps{cell.errors > 0 && `, ${count(cell.errors)} ✕`} in {duration(cell.to - cell.from)}, busy {Math.round(cell.busy * 100)} %
          </p>
          <p className="faint">{duration(cell.from)} in. A press zooms in.</p>
        </>
      )}
    </div>
  );
}
