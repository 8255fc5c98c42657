/** What stands over a waterfall: what it shows, and what else it can show. */

import type { ReactNode } from "react";

interface Properties {
  /** It could not be read again. */
  isNotRenewed: boolean;
  /** Idle gaps are left out. */
  isSkipping: boolean;
  isFitted: boolean;
  /** Address of the same as JSON. */
  twin: string;
  onSkip(): void;
  /** Make it narrower (below 1) or wider. */
  onZoom(factor: number): void;
  onFit(): void;
  /** What it shows, in words. */
  children: ReactNode;
}

const ZOOM = 1.4;

/** See above. */
export function Tools({ isNotRenewed, isSkipping, isFitted, twin, onSkip, onZoom, onFit, children }: Properties) {
  return (
    <div className="waterfall-tools">
      <span className="figure faint waterfall-told" role="status">{children}</span>
      {isNotRenewed && <span className="chip bad">not renewed</span>}
      <button className="plain" aria-pressed={isSkipping} onClick={onSkip}>Leave idle out</button>
      <button className="plain" aria-label="Zoom out" title="Zoom out (s)" onClick={() => onZoom(ZOOM)}>−</button>
      <button className="plain" aria-label="Zoom in" title="Zoom in (w)" onClick={() => onZoom(1 / ZOOM)}>+</button>
      <button className="plain" disabled={isFitted} title="The whole episode (0)" onClick={onFit}>Fit</button>
      <a className="faint" href={twin}>JSON</a>
    </div>
  );
}
