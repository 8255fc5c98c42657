/** A table of figures, in the order of any of its columns; the order stands in the address. */

import type { ReactNode } from "react";
import { useSearchParams } from "wouter";

import { ordered, orderOf, pressed } from "./order";

/** A column: what its rows are put in order by, and how it is shown. */
export interface FigureColumn<Row> {
  key: string;
  title: string;
  figure(row: Row): number | string | null;
  show(row: Row): ReactNode;
}

interface Properties<Row> {
  /** Name of its order in the address. */
  name: string;
  label: string;
  rows: Row[];
  columns: FigureColumn<Row>[];
  /** Key of the column that it is put in order by at first. */
  usual: string;
  keyOf(row: Row): string;
}

/** See above. The first column is a name, the others are figures. */
export function FigureTable<Row>({ name, label, rows, columns, usual, keyOf }: Properties<Row>) {
  const [search, setSearch] = useSearchParams();
  const order = orderOf(search.get(name), usual);
  const by = columns.find((column) => column.key === order.key) ?? columns[0];
  const choose = (key: string): void =>
    setSearch((before) => {
      const after = new URLSearchParams(before);
      after.set(name, pressed(order, key));
      return after;
    }, { replace: true });
  return (
    <table className="figures-table" aria-label={label}>
      <thead>
        <tr>
          {columns.map(({ key, title }, index) => (
            <th key={key} className={index ? "figure" : ""} aria-sort={key !== by?.key ? undefined : order.isUp ? "ascending" : "descending"}>
              <button className="plain" onClick={() => choose(key)}>
                {title}
                <span aria-hidden>{key !== by?.key ? "" : order.isUp ? " ↑" : " ↓"}</span>
              </button>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {by && ordered(rows, by.figure, order.isUp).map((row) => (
          <tr key={keyOf(row)}>
            {columns.map(({ key, show }, index) => <td key={key} className={index ? "figure" : ""}>{show(row)}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
