/** Money as people read it. */

import type { CostFigures } from "../../api/schema";

/** An amount in its currency: cents where they matter, more digits where it is less than a cent. */
export function amountOf({ amount, currency }: CostFigures): string {
  const size = Math.abs(amount);
  return `${amount.toFixed(size === 0 || size >= 1 ? 2 : size >= 0.01 ? 3 : 5)} ${currency}`;
}
