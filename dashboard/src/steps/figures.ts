/** Times, durations and amounts as people read them. Times are ns since 1970 UTC, durations are ns. */

const UNITS: [number, string][] = [
  [86_400e9, "d"],
  [3_600e9, "h"],
  [60e9, "m"],
  [1e9, "s"],
];

/** A duration in at most two units: `340 µs`, `12.3 ms`, `4.56 s`, `3 m 12 s`. */
export function duration(ns: number): string {
  if (ns < 0) return `−${duration(-ns)}`;
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${three(ns / 1e6)} ms`;
  if (ns < 60e9) return `${three(ns / 1e9)} s`;
  const first = UNITS.findIndex(([size]) => ns >= size);
  const [size, unit] = UNITS[first] ?? [1e9, "s"];
  const [lesser, lesserUnit] = UNITS[first + 1] ?? [1e9, "s"];
  const whole = Math.floor(ns / size);
  const rest = Math.floor((ns - whole * size) / lesser);
  return rest ? `${whole} ${unit} ${rest} ${lesserUnit}` : `${whole} ${unit}`;
}

/** How long ago, in one unit: `now`, `8 s ago`, `3 h ago`. */
export function ago(ns: number, nowMs: number): string {
  const passed = nowMs * 1e6 - ns;
  if (passed < 2e9) return "now";
  const [size, unit] = UNITS.find(([each]) => passed >= each) ?? [1e9, "s"];
  return `${Math.floor(passed / size)} ${unit} ago`;
}

/** A clock's time with milliseconds, in the browser's zone. */
export function clock(ns: number): string {
  // A number of JavaScript may fall short of the full millisecond by a quarter of a microsecond.
  const date = new Date(ns / 1e6 + 0.0005);
  const two = (part: number): string => String(part).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** A date and time in full, for tooltips. */
export function moment(ns: number): string {
  return new Date(ns / 1e6).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** A count with separators, short from a hundred thousand on: `12,345`, `1.24 M`. */
export function count(amount: number): string {
  if (amount < 1e5) return amount.toLocaleString("en");
  return amount < 1e6 ? `${three(amount / 1e3)} k` : `${three(amount / 1e6)} M`;
}

/** Bytes in decimal units. */
export function bytes(amount: number): string {
  if (amount < 1e3) return `${amount} B`;
  if (amount < 1e6) return `${three(amount / 1e3)} kB`;
  return amount < 1e9 ? `${three(amount / 1e6)} MB` : `${three(amount / 1e9)} GB`;
}

function three(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
