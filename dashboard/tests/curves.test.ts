import { expect, test } from "vitest";

import { costsSoFar, tokensOf, tokensSoFar } from "../src/views/episode/plots/curves";
import type { Reply } from "../src/views/episode/plots/replies";

const reply = (sequence: number, more: Partial<Reply>): Reply => ({ sequence, at: sequence * 1e9, model: "m", input: null, output: null, cost: null, ...more });

test("Tokens are summed over the calls that state them.", () => {
  const replies = [reply(1, { input: 10, output: 1 }), reply(2, {}), reply(3, { input: 20 })];
  const sums = tokensSoFar(replies);
  expect([sums.at, sums.sequences]).toEqual([[1, 3], [1, 3]]);
  expect([...sums.figures.values()]).toEqual([[10, 30], [1, 1]]);
  expect([...tokensOf(replies).figures.values()]).toEqual([[10, 20], [1, null]]);
});

test("Money is summed for each currency by itself.", () => {
  const costs = costsSoFar([
    reply(1, { cost: { amount: 1, currency: "USD" } }),
    reply(2, { cost: { amount: 5, currency: "EUR" } }),
    reply(3, { cost: { amount: 2, currency: "USD" } }),
  ]);
  expect([...costs].map(([currency, { figures }]) => [currency, [...figures.values()][0]])).toEqual([["EUR", [5]], ["USD", [1, 3]]]);
});
