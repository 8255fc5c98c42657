/** A table: its header stays, and only the rows in sight are there. */

import { FixedList } from "../parts/FixedList";
import { count } from "../steps/figures";
import type { ViewerProperties } from "./Artifact";
import { useContents } from "./contents";
import { parseTable } from "./csv";
import { Failed } from "./Failed";

const ROW = 24;
const COLUMNS_MAX = 40;

/** See above. */
export default function TableFile({ artifact }: ViewerProperties) {
  const { made, error } = useContents(artifact.sha256, (contents) => parseTable(new TextDecoder().decode(contents)));
  if (error !== null) return <Failed error={error} />;
  if (made === null) return <div className="artifact-wait"><div className="skeleton" /></div>;
  const [header = [], ...rows] = made;
  const names = header.slice(0, COLUMNS_MAX);
  const columns = { gridTemplateColumns: `56px repeat(${names.length}, minmax(110px, 1fr))` };
  return (
    <div>
      <div className="table-file" role="table" aria-label={artifact.name} aria-rowcount={rows.length + 1}>
        <div className="table-width" style={{ minWidth: 56 + 110 * names.length }}>
          <div role="row" className="table-row table-head" style={columns}>
            <span role="columnheader" className="faint">#</span>
            {names.map((name, at) => (
              <span role="columnheader" className={`clip${isFigure(rows[0]?.[at] ?? "") ? " right" : ""}`} title={name} key={at}>{name}</span>
            ))}
          </div>
          <div className="table-rows" style={{ height: Math.min(320, rows.length * ROW) }}>
            <FixedList
              length={rows.length}
              rowHeight={ROW}
              label="Rows"
              row={(at) => (
                <div role="row" className="table-row" style={columns} key={at} aria-rowindex={at + 2}>
                  <span role="rowheader" className="faint figure">{at + 1}</span>
                  {names.map((_, column) => {
                    const cell = rows[at]?.[column] ?? "";
                    return <span role="cell" key={column} title={cell} className={`clip${isFigure(cell) ? " figure right" : ""}`}>{cell}</span>;
                  })}
                </div>
              )}
            />
          </div>
        </div>
      </div>
      <p className="faint figure">
        {count(rows.length)} rows, {count(header.length)} columns{header.length > COLUMNS_MAX && `, the first ${COLUMNS_MAX} shown`}
      </p>
    </div>
  );
}

function isFigure(cell: string): boolean {
  return cell !== "" && !Number.isNaN(Number(cell));
}
