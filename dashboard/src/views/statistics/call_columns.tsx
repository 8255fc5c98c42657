/** The columns of the tables of tools and models. */

import type { CallFigures, CostFigures, ModelFigures, Percentiles } from "../../api/schema";
import { count, duration } from "../../steps/figures";
import { amountOf } from "./money";
import type { FigureColumn } from "./FigureTable";

/** The columns of tools; a press on a name looks at that tool alone. */
export function toolColumns(onName: (name: string) => void): FigureColumn<CallFigures>[] {
  return [nameColumn("Tool", (row) => row.name, onName), ...callColumns<CallFigures>((row) => row)];
}

/** The columns of models. */
export function modelColumns(): FigureColumn<ModelFigures>[] {
  return [
    nameColumn<ModelFigures>("Model", (row) => row.calls.name, null),
    ...callColumns<ModelFigures>((row) => row.calls),
    { key: "sent", title: "Tokens in", figure: (row) => row.input_tokens, show: (row) => count(row.input_tokens) },
    { key: "cached", title: "cached", figure: (row) => row.cached_input_tokens, show: (row) => <Faint amount={row.cached_input_tokens} /> },
    { key: "received", title: "Tokens out", figure: (row) => row.output_tokens, show: (row) => count(row.output_tokens) },
    { key: "reasoning", title: "reasoning", figure: (row) => row.reasoning_tokens, show: (row) => <Faint amount={row.reasoning_tokens} /> },
    { key: "cost", title: "Cost", figure: (row) => row.costs[0]?.amount ?? null, show: (row) => <Costs costs={row.costs} /> },
  ];
}

function nameColumn<Row>(title: string, name: (row: Row) => string, onName: ((name: string) => void) | null): FigureColumn<Row> {
  return {
    key: "name",
    title,
    figure: name,
    show: (row) => onName === null
      ? <span className="mono">{name(row)}</span>
      : <button className="plain mono" onClick={() => onName(name(row))}>{name(row)}</button>,
  };
}

function callColumns<Row>(calls: (row: Row) => CallFigures): FigureColumn<Row>[] {
  const percentile = (key: string, title: string, figure: (of: Percentiles) => number | null): FigureColumn<Row> => ({
    key,
    title,
    figure: (row) => figure(calls(row).duration),
    show: (row) => <Duration ns={figure(calls(row).duration)} />,
  });
  return [
    { key: "calls", title: "Calls", figure: (row) => calls(row).calls, show: (row) => count(calls(row).calls) },
    { key: "open", title: "Open", figure: (row) => calls(row).open, show: (row) => <Faint amount={calls(row).open} /> },
    { key: "errors", title: "Errors", figure: (row) => calls(row).error_rate, show: (row) => <Errors calls={calls(row)} /> },
    percentile("p50", "p50", ({ p50_ns: ns }) => ns),
    percentile("p95", "p95", ({ p95_ns: ns }) => ns),
    percentile("max", "max", ({ max_ns: ns }) => ns),
  ];
}

function Duration({ ns }: { ns: number | null }) {
  return ns === null ? <span className="faint">–</span> : duration(ns);
}

function Faint({ amount }: { amount: number }) {
  return <span className={amount ? "" : "faint"}>{count(amount)}</span>;
}

function Errors({ calls: { errors, error_rate: rate } }: { calls: CallFigures }) {
  if (rate === null) return <span className="faint">–</span>;
  return <span className={errors ? "bad" : "faint"}>{count(errors)} · {(rate * 100).toFixed(rate > 0 && rate < 0.1 ? 1 : 0)} %</span>;
}

function Costs({ costs }: { costs: CostFigures[] }) {
  return costs.length === 0 ? <span className="faint">–</span> : costs.map(amountOf).join(" + ");
}
