/** A waterfall on its canvas: an axis, lanes, bars, densities; all of it at once, from what is given. */

import { duration } from "../../../steps/figures";
import { markOf } from "../../../steps/kind";
import { markLabel, markStep } from "./axis";
import { type Band, type Bar, type Board, type Cell, isBad, TICKS } from "./board";
import type { Clock, Stretch } from "./clock";

/** Height of the axis and width of the lanes' names. */
export const AXIS = 24;
export const GUTTER = 158;
/** Narrower a bar is not drawn. */
export const BAR_MIN = 2.5;
/** In a narrower one there are no words, and none with a glyph. */
const LABEL_MIN = 34;
const WORDS_MIN = 22;
const MARK_PIXELS = 96;

/** The tokens it is drawn with. */
export const COLOURS = [
  "paper", "sheet", "well", "line", "ink", "ink-soft", "ink-faint", "accent", "accent-ink", "bad", "warn",
  "hue-model", "hue-thought", "hue-tool", "hue-observation", "hue-error", "hue-human", "hue-artifact", "hue-quiet",
] as const;

/** What a picture is made of. */
export interface Picture {
  board: Board;
  clock: Clock;
  /** What is seen, in shown time. */
  view: Stretch;
  /** The episode's present end, in real time. */
  now: number;
  isRunning: boolean;
  width: number;
  height: number;
  /** How far the lanes are scrolled. */
  scrolled: number;
  chosen: Bar | null;
  /** The moment of the playhead. */
  moment: number | null;
  /** Whether a bar is beside what is looked for. */
  isAside(bar: Bar): boolean;
  colours: Record<(typeof COLOURS)[number], string>;
}

/** Where a moment stands, in pixels. */
export function placeOf({ clock, view, width }: Pick<Picture, "clock" | "view" | "width">, at: number): number {
  return GUTTER + ((clock.shown(at) - view.from) / (view.to - view.from)) * (width - GUTTER);
}

/** Draw it. */
export function draw(canvas: HTMLCanvasElement, picture: Picture): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const { width, height, board, scrolled } = picture;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.scale(scale, scale);
  context.textBaseline = "middle";
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  const marks = marksOf(picture);
  context.save();
  clip(context, 0, AXIS, width, height - AXIS);
  context.translate(0, AXIS - scrolled);
  drawGrid(context, picture, marks);
  const hatch = hatchOf(context, picture.colours.bad);
  const most = Math.max(1, ...board.bands.map((band) => band.cells.reduce((high, cell) => Math.max(high, cell.steps), 0)));
  for (const band of board.bands) {
    if (band.top + band.height < scrolled || band.top > scrolled + height) continue;
    drawName(context, picture, band);
    context.save();
    clip(context, GUTTER, band.top, width - GUTTER, band.height);
    for (const cell of band.cells) drawCell(context, picture, band, cell, most, hatch);
    for (const bar of band.bars) drawBar(context, picture, band, bar, hatch);
    for (const tick of band.ticks) drawTick(context, picture, band, tick);
    context.restore();
  }
  context.restore();
  drawGaps(context, picture);
  drawAxis(context, picture, marks);
  drawMoments(context, picture);
}

function clip(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
}

interface AxisMark {
  at: number;
  x: number;
  label: string;
}

function marksOf(picture: Picture): AxisMark[] {
  const { clock, view, width, now } = picture;
  const nsToPixel = (view.to - view.from) / (width - GUTTER);
  const step = markStep(nsToPixel, MARK_PIXELS);
  const marks: AxisMark[] = [];
  const first = Math.ceil(clock.real(view.from) / step) * step;
  const last = Math.min(clock.real(view.to), now + step);
  for (let at = first; at <= last; at += step) {
    const gap = clock.gaps.find(({ from, to }) => at > from && at < to);
    if (gap !== undefined) {
      at = Math.max(at, Math.floor(gap.to / step) * step);
      if (at < gap.to) continue;
    }
    const x = placeOf(picture, at);
    const before = marks.at(-1);
    if (before === undefined || x - before.x > MARK_PIXELS / 2) marks.push({ at, x, label: markLabel(at, step) });
  }
  return marks;
}

function drawGrid(context: CanvasRenderingContext2D, { colours, board, width, height }: Picture, marks: AxisMark[]): void {
  context.fillStyle = colours.line;
  const tall = Math.max(board.height, height);
  for (const band of board.bands) context.fillRect(0, band.top + band.height - 1, width, 1);
  context.globalAlpha = 0.55;
  for (const { x } of marks) context.fillRect(Math.round(x), 0, 1, tall);
  context.globalAlpha = 1;
}

function drawName(context: CanvasRenderingContext2D, { colours }: Picture, band: Band): void {
  context.fillStyle = colours.paper;
  context.fillRect(0, band.top, GUTTER - 1, band.height - 1);
  const [agent, named] = band.name.split(" / ");
  const role = named === agent ? undefined : named;
  context.fillStyle = colours.ink;
  context.font = context.font.replace("11px", "12px");
  const middle = role === undefined || band.height < 34 ? band.top + Math.min(band.height / 2, 16) : band.top + 13;
  context.fillText(clipped(context, role ?? agent ?? "nobody in particular", GUTTER - 24), 14, middle);
  context.font = context.font.replace("12px", "11px");
  if (role !== undefined && band.height >= 34) {
    context.fillStyle = colours["ink-faint"];
    context.fillText(clipped(context, agent ?? "", GUTTER - 24), 14, middle + 15);
  }
}

function drawBar(context: CanvasRenderingContext2D, picture: Picture, band: Band, bar: Bar, hatch: CanvasPattern | null): void {
  const { colours, width, now, view, clock } = picture;
  const to = bar.to ?? now;
  if (clock.shown(to) < view.from || clock.shown(bar.from) > view.to) return;
  const left = Math.max(GUTTER - 20, placeOf(picture, bar.from));
  const wide = Math.max(BAR_MIN, Math.min(width + 20, placeOf(picture, to)) - left);
  const top = band.top + TICKS + bar.row * band.rowHeight;
  const tall = band.rowHeight - (band.rowHeight > 8 ? 3 : 1);
  const hue = colours[`hue-${markOf(bar.kind).hue}`];
  const isFaulty = isBad(bar);
  context.globalAlpha = picture.isAside(bar) ? 0.18 : 1;
  const alpha = context.globalAlpha;
  if (wide < 5 || tall < 6) {
    context.fillStyle = isFaulty ? colours.bad : hue;
    context.fillRect(left, top, wide, tall);
  } else {
    context.fillStyle = colours.paper;
    context.fillRect(left, top, wide, tall);
    context.globalAlpha = alpha * 0.24;
    context.fillStyle = isFaulty ? colours.bad : hue;
    context.fillRect(left, top, wide, tall);
    context.globalAlpha = alpha;
    if (isFaulty && hatch !== null) {
      context.fillStyle = hatch;
      context.fillRect(left, top, wide, tall);
    }
    drawEdge(context, bar, { left, top, wide, tall }, isFaulty ? colours.bad : hue);
    drawWords(context, picture, bar, { left, top, wide, tall }, isFaulty);
  }
  if (isFaulty && (wide < WORDS_MIN || tall < 12)) drawGlyph(context, colours, "✕", left + wide / 2, band.top + 8);
  if (bar === picture.chosen) outline(context, colours.accent, left, top, wide, tall);
  context.globalAlpha = 1;
}

interface Box {
  left: number;
  top: number;
  wide: number;
  tall: number;
}

/** What is open or was cut off has no right edge, or a broken one. */
function drawEdge(context: CanvasRenderingContext2D, bar: Bar, { left, top, wide, tall }: Box, colour: string): void {
  context.fillStyle = colour;
  context.fillRect(left, top, Math.min(3, wide), tall);
  context.fillRect(left, top, wide, 1);
  context.fillRect(left, top + tall - 1, wide, 1);
  const right = left + wide - 1;
  if (bar.status === "running") return;
  if (bar.status === "cut_off") for (let y = 0; y < tall; y += 4) context.fillRect(right - 1, top + y, 2, 2);
  else context.fillRect(right, top, 1, tall);
}

const STATES = { running: "", ok: "", error: "✕ ", cancelled: "⊘ ", cut_off: "⚡ " } as const;

function drawWords(context: CanvasRenderingContext2D, { colours, now, width }: Picture, bar: Bar, box: Box, isFaulty: boolean): void {
  const left = Math.max(GUTTER, box.left);
  const room = Math.min(width, box.left + box.wide) - left - 10;
  const glyph = STATES[bar.status ?? "ok"];
  if (box.tall < 12 || room < (isFaulty ? WORDS_MIN : LABEL_MIN) - 10) return;
  const middle = box.top + box.tall / 2 + 0.5;
  context.fillStyle = isFaulty ? colours.bad : colours.ink;
  const took = duration((bar.to ?? now) - bar.from);
  const name = `${glyph}${bar.label ?? markOf(bar.kind).word}`;
  const words = clipped(context, name, room);
  context.fillText(words, left + 7, middle);
  const used = context.measureText(words).width;
  if (words === name && room - used > context.measureText(took).width + 8) {
    context.fillStyle = colours["ink-soft"];
    context.fillText(took, left + 7 + used + 8, middle);
  }
}

function drawTick(context: CanvasRenderingContext2D, picture: Picture, band: Band, tick: Bar): void {
  const x = placeOf(picture, tick.from);
  if (x < GUTTER - 4 || x > picture.width + 4) return;
  const { colours } = picture;
  const { hue, glyph } = markOf(tick.kind);
  const top = band.top + 3;
  context.globalAlpha = picture.isAside(tick) ? 0.18 : 1;
  if (isBad(tick)) {
    context.fillStyle = colours.bad;
    context.fillRect(x - 0.75, top, 1.5, band.height - 6);
    drawGlyph(context, colours, glyph, x, band.top + 8);
  } else {
    context.fillStyle = colours[`hue-${hue}`];
    context.fillRect(x - 1, top, 2, 8);
  }
  if (tick === picture.chosen) outline(context, colours.accent, x - 3, top, 6, 8);
  context.globalAlpha = 1;
}

function drawGlyph(context: CanvasRenderingContext2D, colours: Picture["colours"], glyph: string, x: number, y: number): void {
  context.fillStyle = colours.paper;
  context.fillRect(x - 5, y - 6, 10, 11);
  context.fillStyle = colours.bad;
  context.textAlign = "center";
  context.fillText(glyph, x, y);
  context.textAlign = "start";
}

function drawCell(context: CanvasRenderingContext2D, picture: Picture, band: Band, cell: Cell, most: number, hatch: CanvasPattern | null): void {
  const left = placeOf(picture, cell.from);
  const right = placeOf(picture, cell.to);
  if (right < GUTTER || left > picture.width) return;
  const { colours } = picture;
  const wide = Math.max(1, right - left + 0.3);
  const bottom = band.top + band.height - 8;
  const room = band.height - 16;
  if (cell.steps > 0) {
    // A root keeps what is rare in sight beside what is frequent.
    const tall = Math.max(2, Math.sqrt(cell.steps / most) * room);
    context.fillStyle = colours["ink-faint"];
    context.fillRect(left, bottom - tall, wide, tall);
  }
  context.globalAlpha = 0.15 + 0.85 * cell.busy;
  context.fillStyle = colours["hue-tool"];
  if (cell.busy > 0) context.fillRect(left, bottom + 1, wide, 4);
  context.globalAlpha = 1;
  if (cell.errors > 0) {
    context.fillStyle = colours.bad;
    context.fillRect(left, band.top + 2, Math.max(2, wide), 5);
    if (hatch !== null) {
      context.fillStyle = hatch;
      context.fillRect(left, band.top + 7, Math.max(2, wide), bottom - band.top - 7);
    }
  }
}

function drawGaps(context: CanvasRenderingContext2D, picture: Picture): void {
  const { colours, height, clock, board, scrolled } = picture;
  const bottom = Math.min(height, AXIS + board.height - scrolled - 1);
  for (const { from, to } of clock.gaps) {
    const [left, right] = [placeOf(picture, from), placeOf(picture, to)];
    if (right < GUTTER || left > picture.width) continue;
    context.save();
    clip(context, GUTTER, 0, picture.width - GUTTER, height);
    context.fillStyle = colours.well;
    context.fillRect(left, AXIS, right - left, bottom - AXIS);
    context.strokeStyle = colours["ink-faint"];
    context.beginPath();
    const middle = (left + right) / 2;
    for (let y = AXIS; y <= bottom; y += 6) context.lineTo(middle + ((y / 6) % 2 < 1 ? -2.5 : 2.5), y);
    context.stroke();
    context.restore();
  }
}

function drawAxis(context: CanvasRenderingContext2D, picture: Picture, marks: AxisMark[]): void {
  const { colours, width, clock } = picture;
  context.fillStyle = colours.sheet;
  context.fillRect(0, 0, width, AXIS - 1);
  context.fillStyle = colours.line;
  context.fillRect(0, AXIS - 1, width, 1);
  context.fillRect(GUTTER - 1, 0, 1, picture.height);
  const words = clock.gaps.map((gap) => ({ gap, text: `⋯ ${duration(gap.to - gap.from)} idle`, x: (placeOf(picture, gap.from) + placeOf(picture, gap.to)) / 2 }));
  context.save();
  clip(context, GUTTER, 0, width - GUTTER, AXIS);
  context.textAlign = "center";
  for (const { x, text } of words) {
    context.fillStyle = colours.warn;
    context.fillText(text, x, AXIS / 2);
  }
  context.textAlign = "start";
  for (const { x, label } of marks) {
    context.fillStyle = colours.line;
    context.fillRect(Math.round(x), AXIS - 6, 1, 5);
    const room = context.measureText(label).width;
    const isFree = words.every((word) => Math.abs(word.x - x - room / 2) > room / 2 + context.measureText(word.text).width / 2 + 6);
    context.fillStyle = colours["ink-faint"];
    if (isFree) context.fillText(label, x + 4, AXIS / 2);
  }
  context.restore();
}

function drawMoments(context: CanvasRenderingContext2D, picture: Picture): void {
  const { colours, moment, isRunning, now, height, width } = picture;
  if (isRunning && moment === null) {
    const x = placeOf(picture, now);
    context.fillStyle = colours.accent;
    if (x > GUTTER && x < width) context.fillRect(x, AXIS, 1, height);
  }
  if (moment === null) return;
  const x = Math.max(GUTTER, placeOf(picture, moment));
  context.globalAlpha = 0.72;
  context.fillStyle = colours.paper;
  context.fillRect(x, AXIS, width - x, height);
  context.globalAlpha = 1;
  context.fillStyle = colours.accent;
  context.fillRect(x - 1, 0, 2, height);
}

function outline(context: CanvasRenderingContext2D, colour: string, left: number, top: number, wide: number, tall: number): void {
  context.globalAlpha = 1;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(left - 1.5, top - 1.5, wide + 3, tall + 3);
  context.lineWidth = 1;
}

function hatchOf(context: CanvasRenderingContext2D, colour: string): CanvasPattern | null {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const brush = tile.getContext("2d");
  if (brush === null) return null;
  brush.strokeStyle = colour;
  brush.globalAlpha = 0.4;
  brush.beginPath();
  for (const offset of [-6, 0, 6]) {
    brush.moveTo(offset, 6);
    brush.lineTo(offset + 6, 0);
  }
  brush.stroke();
  return context.createPattern(tile, "repeat");
}

/** A text that fits, cut where it must be. */
function clipped(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  let [low, high] = [0, Math.min(text.length, 80)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? "" : `${text.slice(0, low)}…`;
}
