/** The marks of a time axis: round times, as many as there is room for. */

const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1e3),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1e6),
  ...[1, 2, 5, 10, 15, 30].map((step) => step * 1e9),
  ...[1, 2, 5, 10, 15, 30].map((step) => step * 60e9),
  ...[1, 2, 3, 6, 12].map((step) => step * 3_600e9),
  ...[1, 2, 5, 10, 20, 50, 100].map((step) => step * 86_400e9),
];

/** How far apart marks stand in a view that is so many ns to a pixel. */
export function markStep(nsToPixel: number, pixels: number): number {
  return STEPS.find((step) => step >= nsToPixel * pixels) ?? STEPS.at(-1) ?? 1;
}

/** What is written at a mark: exact, in the unit in which the marks differ. */
export function markLabel(at: number, step: number): string {
  if (at === 0) return "0";
  if (step >= 60e9) return inUnits(Math.round(at / 60e9) * 60, ["d", "h", "m"]);
  const digits = step >= 1e9 ? 0 : step >= 1e8 ? 1 : step >= 1e7 ? 2 : step >= 1e6 ? 3 : 6;
  if (at < 1e6) return `${Math.round(at / 1e3)} µs`;
  if (at < 1e9 && step < 1e9) return `${Number((at / 1e6).toFixed(Math.max(0, digits - 3)))} ms`;
  const seconds = at / 1e9;
  const minutes = Math.floor(seconds / 60 + 1e-9);
  const rest = Math.max(0, seconds - minutes * 60).toFixed(digits);
  if (minutes === 0) return `${rest} s`;
  const whole = inUnits(minutes * 60, ["d", "h", "m"]);
  return Number(rest) === 0 ? whole : `${whole} ${rest} s`;
}

const SECONDS = { d: 86_400, h: 3_600, m: 60 } as const;

function inUnits(seconds: number, units: (keyof typeof SECONDS)[]): string {
  let left = seconds;
  const parts: string[] = [];
  for (const unit of units) {
    const amount = Math.floor(left / SECONDS[unit]);
    left -= amount * SECONDS[unit];
    if (amount > 0) parts.push(`${amount} ${unit}`);
  }
  return parts.join(" ") || "0";
}
