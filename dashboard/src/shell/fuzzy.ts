/** Names that fit what somebody typed: its letters in order, better where they begin words or stand together. */

/** How well a name fits, and which of its letters were meant. */
export interface Fit {
  score: number;
  places: number[];
}

const BEGINS_WORD = 8;
const STANDS_TOGETHER = 5;
const ANYWHERE = 1;
const LENGTH_MAX = 200;

/** How a name fits; null where it does not. Everything fits nothing. */
export function fit(typed: string, name: string): Fit | null {
  const wanted = typed.toLowerCase().replaceAll(" ", "").slice(0, LENGTH_MAX);
  const letters = name.toLowerCase().slice(0, LENGTH_MAX);
  if (wanted === "") return { score: 0, places: [] };
  const starts = Array.from(letters, (_, place) => place).filter((place) => letters[place] === wanted[0]);
  // What begins later may stand together better.
  const fits = starts.map((start) => fitFrom(wanted, letters, start)).filter((each) => each !== null);
  return fits.toSorted((a, b) => b.score - a.score)[0] ?? null;
}

function fitFrom(wanted: string, letters: string, start: number): Fit | null {
  const places: number[] = [];
  let score = 0;
  let from = start;
  for (const letter of wanted) {
    const place = letters.indexOf(letter, from);
    if (place < 0) return null;
    const isFirst = place === 0 || /[\s\-_/.:]/.test(letters[place - 1] ?? "");
    score += isFirst ? BEGINS_WORD : place - 1 === places.at(-1) ? STANDS_TOGETHER : ANYWHERE;
    places.push(place);
    from = place + 1;
  }
  return { score: score - letters.length / LENGTH_MAX, places };
}

/** Those that fit, the best first; those that fit as well stay in their order. */
export function fitting<Item>(typed: string, items: Item[], name: (item: Item) => string): { item: Item; fit: Fit }[] {
  return items
    .flatMap((item) => {
      const found = fit(typed, name(item));
      return found === null ? [] : [{ item, fit: found }];
    })
    .toSorted((a, b) => b.fit.score - a.fit.score);
}
