/** One plot over the episode's time. All of them share one cursor; a press goes to the step. */

import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { coloursOf, useThemeCount } from "../../../parts/colours";
import { duration } from "../../../steps/figures";
import { markLabel } from "../waterfall/axis";
import type { Curves } from "./curves";

const HEIGHT = 150;
const HEIGHT_LOGARITHMIC = 220;
/** Where there are more points they are drawn smaller. */
const POINTS_MANY = 1_500;
const AXIS_WIDTH = 74;
const NEAR = 40;

/** How a curve is drawn; its name is that of the figures. */
export interface Pen {
  name: string;
  colour: "hue-model" | "hue-tool" | "hue-observation" | "bad" | "accent";
  /** Points of a shape of their own, or a line in steps. */
  shape: "circle" | "triangle" | "cross" | "line" | "dashes";
}

interface Properties {
  title: string;
  curves: Curves;
  pens: readonly Pen[];
  /** The episode's end, in seconds from its beginning. */
  end: number;
  /** The moment of the playhead, or of the step that is chosen, in seconds. */
  marked: number | null;
  isLogarithmic?: boolean;
  format(figure: number): string;
  onChoose(sequence: number): void;
}

/** See above. */
export function Plot({ title, curves, pens, end, marked, isLogarithmic = false, format, onChoose }: Properties) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ curves, marked, end, onChoose, format });
  latest.current = { curves, marked, end, onChoose, format };
  const theme = useThemeCount();
  const [at, setAt] = useState<number | null>(null);

  useEffect(() => {
    const { current } = place;
    if (current === null) return;
    const colours = coloursOf(current, ["ink-faint", "line", "accent", "paper", "bad", "hue-model", "hue-tool", "hue-observation"]);
    const height = isLogarithmic ? HEIGHT_LOGARITHMIC : HEIGHT;
    const axis = { stroke: colours["ink-faint"], grid: { stroke: colours.line, width: 1 }, ticks: { stroke: colours.line, width: 1, size: 4 }, font: `11px ${getComputedStyle(current).fontFamily}` };
    const made = new uPlot({
      width: Math.max(200, current.clientWidth),
      height,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, sync: { key: "episode", scales: ["x", null] }, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: () => [0, Math.max(1e-6, latest.current.end)] },
        y: isLogarithmic ? { distr: 3 } : { range: (_, __, high) => [0, Math.max(1e-9, high) * 1.08] },
      },
      axes: [
        { ...axis, space: 90, size: 26, values: (_, splits) => labels(splits) },
        { ...axis, ...(isLogarithmic ? { filter: powersOfTen, grid: { ...axis.grid, filter: powersOfTen }, ticks: { ...axis.ticks, filter: powersOfTen } } : {}), space: 34, size: AXIS_WIDTH, values: (_, splits) => splits.map((each) => (each === null ? "" : latest.current.format(each))) },
      ],
      series: [{}, ...pens.map((pen) => seriesOf(pen, colours[pen.colour], colours.paper))],
      hooks: {
        setCursor: [(it) => setAt(it.cursor.idx ?? null)],
        draw: [(it) => drawMark(it, latest.current.marked, colours.accent)],
      },
    }, dataOf(latest.current.curves, pens), current);
    made.over.addEventListener("click", () => {
      const index = nearest(made, latest.current.curves, pens);
      const sequence = index === null ? undefined : latest.current.curves.sequences[index];
      if (sequence !== undefined) latest.current.onChoose(sequence);
    });
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(200, current.clientWidth), height }));
    observer.observe(current);
    return () => {
      observer.disconnect();
      plot.current = null;
      made.destroy();
    };
  }, [pens, isLogarithmic, theme]);

  useEffect(() => plot.current?.setData(dataOf(curves, pens)), [curves, pens, end]);
  useEffect(() => plot.current?.redraw(false), [marked]);

  return (
    <figure className="plot">
      <figcaption>
        <h2>{title}</h2>
        {pens.length > 1 && (
          <ul className="plot-pens">
            {pens.map(({ name, colour, shape }) => (
              <li key={name}><span className={`pen-${colour}`} aria-hidden>{GLYPHS[shape]}</span> {name}</li>
            ))}
          </ul>
        )}
        {isLogarithmic && <span className="faint">logarithmic</span>}
        <span className="figure faint plot-told">{told(curves, pens, at, format)}</span>
      </figcaption>
      <div ref={place} className="plot-drawn" role="img" aria-label={`${title}: ${told(curves, pens, null, format)}`} />
    </figure>
  );
}

const GLYPHS = { circle: "●", triangle: "△", cross: "✕", line: "━", dashes: "╌" } as const;

function powersOfTen(_: uPlot, splits: number[]): (number | null)[] {
  return splits.map((each) => (Math.abs(Math.log10(each) - Math.round(Math.log10(each))) < 1e-6 ? each : null));
}

function seriesOf({ name, shape }: Pen, colour: string, paper: string): uPlot.Series {
  if (shape === "line" || shape === "dashes") {
    const path = uPlot.paths.stepped?.({ align: 1 });
    return { label: name, stroke: colour, width: 2, ...(shape === "dashes" ? { dash: [5, 4] } : {}), ...(path ? { paths: path } : {}), points: { show: false } };
  }
  return {
    label: name,
    stroke: colour,
    paths: () => null,
    points: { show: (it, series, first, last) => drawPoints(it, series, first, last, shape, colour, paper) },
  };
}

/** Shapes tell the curves apart where colours do not. */
function drawPoints(it: uPlot, series: number, first: number, last: number, shape: Pen["shape"], colour: string, paper: string): undefined {
  const { ctx: context, data } = it;
  const radius = (last - first > POINTS_MANY ? 2 : 3.2) * devicePixelRatio;
  context.save();
  context.strokeStyle = colour;
  context.fillStyle = shape === "circle" ? colour : paper;
  context.lineWidth = 1.4 * devicePixelRatio;
  for (let index = first; index <= last; index += 1) {
    const [at, figure] = [data[0][index], data[series]?.[index]];
    if (at === undefined || figure === null || figure === undefined) continue;
    const [x, y] = [it.valToPos(at, "x", true), it.valToPos(figure, "y", true)];
    context.beginPath();
    if (shape === "circle") context.arc(x, y, radius * 0.8, 0, 2 * Math.PI);
    else if (shape === "triangle") {
      context.moveTo(x, y - radius);
      context.lineTo(x + radius, y + radius);
      context.lineTo(x - radius, y + radius);
      context.closePath();
    } else {
      context.moveTo(x - radius, y - radius);
      context.lineTo(x + radius, y + radius);
      context.moveTo(x + radius, y - radius);
      context.lineTo(x - radius, y + radius);
    }
    if (shape !== "cross") context.fill();
    context.stroke();
  }
  context.restore();
  return undefined;
}

function drawMark(it: uPlot, marked: number | null, colour: string): void {
  if (marked === null) return;
  const x = it.valToPos(marked, "x", true);
  it.ctx.fillStyle = colour;
  it.ctx.fillRect(x - devicePixelRatio, it.bbox.top, 2 * devicePixelRatio, it.bbox.height);
}

function dataOf({ at, figures }: Curves, pens: readonly Pen[]): uPlot.AlignedData {
  return [at, ...pens.map(({ name }) => figures.get(name) ?? at.map(() => null))];
}

/** Of the points near the pointer the one that is nearest in both directions. */
function nearest(it: uPlot, { at, figures }: Curves, pens: readonly Pen[]): number | null {
  const { idx, left = 0, top = 0 } = it.cursor;
  if (idx === null || idx === undefined) return null;
  let [best, distance] = [idx, Infinity];
  for (let index = Math.max(0, idx - NEAR); index <= Math.min(at.length - 1, idx + NEAR); index += 1) {
    for (const { name } of pens) {
      const [x, y] = [at[index], figures.get(name)?.[index]];
      if (x === undefined || y === null || y === undefined) continue;
      const far = Math.hypot(it.valToPos(x, "x") - left, it.valToPos(y, "y") - top);
      if (far < distance) [best, distance] = [index, far];
    }
  }
  return best;
}

function labels(splits: number[]): string[] {
  const step = ((splits[1] ?? 1) - (splits[0] ?? 0)) * 1e9;
  return splits.map((each) => markLabel(Math.round(each * 1e9), step));
}

/** What the figures are under the cursor; and at the end, where it is elsewhere. */
function told({ at, names, sequences, figures }: Curves, pens: readonly Pen[], index: number | null, format: (figure: number) => string): string {
  const place = index ?? at.length - 1;
  const when = at[place];
  if (when === undefined) return "";
  const values = pens.flatMap(({ name }) => {
    const figure = figures.get(name)?.[place];
    return figure === null || figure === undefined ? [] : [`${name} ${format(figure)}`];
  });
  const head = index === null ? "last" : `${duration(when * 1e9)} in, step ${sequences[place]}`;
  return [head, names[place], ...values].filter(Boolean).join(" · ");
}
