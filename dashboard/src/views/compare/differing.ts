/** Where two texts differ: what they share at both ends, and what stands between on each side. */

/** See above. */
export interface Differing {
  before: string;
  a: string;
  b: string;
  after: string;
}

/** Compare two texts. Nothing is cut inside of a character that needs two. */
export function differing(a: string, b: string): Differing {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start += 1;
  if (start > 0 && isHalf(a, start)) start -= 1;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  if (end > 0 && isHalf(a, a.length - end)) end -= 1;
  return { before: a.slice(0, start), a: a.slice(start, a.length - end), b: b.slice(start, b.length - end), after: a.slice(a.length - end) };
}

/** Whether a place is between the two halves of one character. */
function isHalf(text: string, place: number): boolean {
  const code = text.charCodeAt(place);
  return code >= 0xdc00 && code <= 0xdfff;
}
