/** Tables as text: comma, semicolon or tab between, quotes round what holds them (RFC 4180). Pure. */

/** Rows of cells; the first is the header. */
export function parseTable(text: string): string[][] {
  const between = separatorOf(text);
  const rows: string[][] = [];
  let row: string[] = [];
  for (let at = 0; at <= text.length; ) {
    const [cell, end] = text[at] === '"' ? quoted(text, at) : plain(text, at, between);
    row.push(cell);
    if (text[end] === between) {
      at = end + 1;
      continue;
    }
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
    at = text[end] === "\r" && text[end + 1] === "\n" ? end + 2 : end + 1;
  }
  return rows;
}

/** What stands most often in the first line. */
function separatorOf(text: string): string {
  const end = text.indexOf("\n");
  const line = end === -1 ? text : text.slice(0, end);
  const amount = (each: string): number => line.split(each).length;
  return [",", ";", "\t"].reduce((best, each) => (amount(each) > amount(best) ? each : best));
}

function plain(text: string, from: number, between: string): [string, number] {
  let end = from;
  while (end < text.length && text[end] !== between && text[end] !== "\n" && text[end] !== "\r") end += 1;
  return [text.slice(from, end), end];
}

function quoted(text: string, from: number): [string, number] {
  let cell = "";
  for (let at = from + 1; ; ) {
    const end = text.indexOf('"', at);
    if (end === -1) return [cell + text.slice(at), text.length];
    cell += text.slice(at, end);
    if (text[end + 1] !== '"') return [cell, end + 1];
    cell += '"';
    at = end + 2;
  }
}
