/** The order of a table: by one of its columns, the greatest first or last. */

/** A column's key, and whether the smallest comes first. */
export interface Order {
  key: string;
  isUp: boolean;
}

/** As it stands in an address: `p95`, or `-p95` for the smallest first. */
export function orderOf(text: string | null, usual: string): Order {
  if (text === null || text === "") return { key: usual, isUp: false };
  return text.startsWith("-") ? { key: text.slice(1), isUp: true } : { key: text, isUp: false };
}

/** The order after a press on a column: the other way round where it was that one's already. */
export function pressed(order: Order, key: string): string {
  return order.key === key && !order.isUp ? `-${key}` : key;
}

/** Rows in order; those without a figure come last either way. */
export function ordered<Row>(rows: Row[], figure: (row: Row) => number | string | null, isUp: boolean): Row[] {
  const sign = isUp ? 1 : -1;
  return rows.toSorted((one, other) => {
    const [a, b] = [figure(one), figure(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "string" || typeof b === "string") return -sign * String(a).localeCompare(String(b));
    return sign * (a - b);
  });
}
