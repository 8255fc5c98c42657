/** A text or a log of any length: its beginning or its end, and more of it on demand. */

import { memo, useEffect, useMemo, useState } from "react";

import { bytes } from "../steps/figures";
import type { ViewerProperties } from "./Artifact";
import { pieces } from "./ansi";
import { readPart } from "./contents";
import { Failed } from "./Failed";

const PART = 256 * 1024;

/** Parts that were read; texts in the order of the file. */
interface Parts {
  texts: string[];
  from: number;
  to: number;
}

/** See above. */
export default function TextFile({ artifact: { sha256, size_bytes: size, name } }: ViewerProperties) {
  const [isTail, setTail] = useState(false);
  const [parts, setParts] = useState<Parts | null>(null);
  const [wanted, setWanted] = useState(1);
  const [error, setError] = useState<unknown>(null);

  useEffect(() => {
    const abort = new AbortController();
    const read = async (): Promise<void> => {
      const have = parts ?? { texts: [], from: isTail ? size : 0, to: isTail ? size : 0 };
      if (have.texts.length >= wanted || (isTail ? have.from === 0 : have.to === size)) return;
      const from = isTail ? Math.max(0, have.from - PART) : have.to;
      const to = isTail ? have.from : Math.min(size, have.to + PART);
      const { text, cut } = whole(new Uint8Array(await readPart(sha256, from, to, abort.signal)), from === 0, to === size, isTail);
      setParts(isTail
        ? { texts: [text, ...have.texts], from: from + cut, to: have.to }
        : { texts: [...have.texts, text], from: have.from, to: to - cut });
    };
    read().catch((problem: unknown) => { if (!abort.signal.aborted) setError(problem); });
    return () => abort.abort();
  }, [sha256, size, isTail, parts, wanted]);

  if (error !== null) return <Failed error={error} />;
  if (size === 0) return <p className="faint">The file is empty.</p>;
  if (parts === null) return <div className="artifact-wait"><div className="skeleton" /></div>;
  const rest = isTail ? parts.from : size - parts.to;
  const more = rest > 0 && (
    <button className="fold" onClick={() => setWanted(parts.texts.length + 1)}>
      {isTail ? "earlier" : "more"}: {bytes(Math.min(PART, rest))} of the {bytes(rest)} {isTail ? "before" : "behind"}
    </button>
  );
  return (
    <div>
      <div className="text-file" tabIndex={0} role="region" aria-label={name}>
        {isTail && more}
        {parts.texts.map((text, at) => <Part key={isTail ? at - parts.texts.length : at} text={text} />)}
        {!isTail && more}
      </div>
      {size > PART && (
        <p className="actions">
          <button className="fold" aria-pressed={isTail} onClick={() => { setTail(!isTail); setParts(null); setWanted(1); }}>from the end</button>
        </p>
      )}
    </div>
  );
}

const Part = memo(function Part({ text }: { text: string }) {
  const shown = useMemo(() => pieces(text), [text]);
  return <pre>{shown.map(({ text: piece, className }, at) => (className ? <span key={at} className={className}>{piece}</span> : piece))}</pre>;
});

/** Whole lines of a part: what is cut at its open end is left for the next one. */
function whole(contents: Uint8Array<ArrayBuffer>, isFirst: boolean, isLast: boolean, isTail: boolean): { text: string; cut: number } {
  const decode = (part: Uint8Array<ArrayBuffer>): string => new TextDecoder().decode(part);
  if (isTail) {
    const line = isFirst ? -1 : contents.indexOf(10);
    const cut = line === -1 || line === contents.length - 1 ? 0 : line + 1;
    return { text: decode(contents.subarray(cut)), cut };
  }
  const line = isLast ? -1 : contents.lastIndexOf(10);
  const end = line === -1 ? contents.length : line + 1;
  return { text: decode(contents.subarray(0, end)), cut: contents.length - end };
}
