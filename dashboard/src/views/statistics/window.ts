/** The window that is looked at: how far it reaches back, in the words of the filter grammar, as in `-1h`. */

const UNITS: Record<string, number> = { m: 60e9, h: 3_600e9, d: 86_400e9 };

/** Those that can be chosen. */
export const WINDOWS = ["-5m", "-15m", "-1h", "-6h", "-1d", "-7d", "-30d"] as const;

/** The one of the server, too. */
export const USUAL_WINDOW = "-1d";

/** When a window begins, in ns since 1970: it reaches back from now, or is a moment itself; null where it is neither. */
export function beginOf(window: string, nowMs: number): number | null {
  if (/^\d{1,19}$/.test(window)) return Number(window);
  const [, amount, unit] = /^-(\d{1,4})([mhd])$/.exec(window) ?? [];
  const size = UNITS[unit ?? ""];
  if (amount === undefined || size === undefined) return null;
  return Math.max(0, nowMs * 1e6 - Number(amount) * size);
}

/** A window in words: `5 minutes`. */
export function windowWords(window: string): string {
  const [, amount, unit] = /^-(\d{1,4})([mhd])$/.exec(window) ?? [];
  const word = { m: "minute", h: "hour", d: "day" }[unit ?? ""];
  return amount === undefined || word === undefined ? window : `${amount} ${word}${amount === "1" ? "" : "s"}`;
}

/** Date and time in the browser's zone: `2026-11-22 21:31:34`. */
export function wallTime(ns: number): string {
  // Swedish is written so.
  return new Date(ns / 1e6).toLocaleString("sv");
}
