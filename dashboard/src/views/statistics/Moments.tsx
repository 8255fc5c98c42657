/** Steps and errors over time: two strips with one clock, so that no error hides among the steps. */

import { type KeyboardEvent, type PointerEvent, useState } from "react";

import { count, duration } from "../../steps/figures";
import type { Column } from "./columns";
import { wallTime } from "./window";

const DAY_NS = 86_400e9;
const STEPS_HEIGHT = 110;
const ERRORS_HEIGHT = 34;
const TICKS = 6;

/** See above. */
export function Moments({ columns, widthNs }: { columns: Column[]; widthNs: number }) {
  const [place, setPlace] = useState<number | null>(null);
  const at = place === null ? undefined : columns[place];
  const steps = columns.map((column) => column.steps);
  const errors = columns.map((column) => column.errors);
  const told = at === undefined
    ? `${duration(widthNs)} a column; at most ${count(Math.max(0, ...steps))} steps in one`
    : `${wallTime(at.at)}, ${duration(widthNs)}: ${count(at.steps)} steps, ${count(at.errors)} errors`;

  const onPointer = (event: PointerEvent): void => {
    const box = event.currentTarget.getBoundingClientRect();
    const found = Math.floor(((event.clientX - box.left) / box.width) * columns.length);
    setPlace(Math.min(columns.length - 1, Math.max(0, found)));
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    setPlace((before) => Math.min(columns.length - 1, Math.max(0, (before ?? columns.length) + by)));
  };
  return (
    <figure className="moments">
      <figcaption className="faint figure">{told}</figcaption>
      <div
        className="moments-strips"
        role="slider"
        tabIndex={0}
        aria-label="Steps and errors over time"
        aria-valuemin={0}
        aria-valuemax={columns.length - 1}
        aria-valuenow={place ?? 0}
        aria-valuetext={told}
        onPointerMove={onPointer}
        onPointerLeave={() => setPlace(null)}
        onKeyDown={onKey}
        onBlur={() => setPlace(null)}
      >
        <Strip name="steps" figures={steps} height={STEPS_HEIGHT} place={place} />
        <Strip name="errors" figures={errors} height={ERRORS_HEIGHT} place={place} />
      </div>
      <Axis columns={columns} widthNs={widthNs} />
    </figure>
  );
}

function Strip({ name, figures, height, place }: { name: "steps" | "errors"; figures: number[]; height: number; place: number | null }) {
  const most = Math.max(1, ...figures);
  return (
    <div className={`strip strip-${name}`}>
      <span className="strip-name faint">{name}<span className="figure">{count(Math.max(0, ...figures))}</span></span>
      <svg viewBox={`0 0 ${figures.length} ${height}`} preserveAspectRatio="none" height={height} aria-hidden>
        {place !== null && <rect className="strip-place" x={place} y={0} width={1} height={height} />}
        {figures.map((figure, index) => {
          const tall = figure === 0 ? 0 : Math.max(2, (figure / most) * (height - 4));
          return tall > 0 && <rect key={index} x={index + 0.08} y={height - tall} width={0.84} height={tall} />;
        })}
      </svg>
    </div>
  );
}

function Axis({ columns, widthNs }: { columns: Column[]; widthNs: number }) {
  const each = Math.max(1, Math.ceil(columns.length / TICKS));
  const isLong = columns.length * widthNs > DAY_NS;
  return (
    <div className="moments-axis faint figure" aria-hidden>
      {columns.map((column, index) => index % each === 0 && (
        <span key={column.at} style={{ left: `${(index / columns.length) * 100}%` }}>
          {isLong ? wallTime(column.at).slice(5, 16) : wallTime(column.at).slice(11, widthNs < 60e9 ? 19 : 16)}
        </span>
      ))}
    </div>
  );
}
