/** A text that agents or people wrote, with its headings, lists and code. */

import { useEffect, useMemo, useState } from "react";

import { isPlain, loadRenderer, rendererNow } from "./markdown";

/** Longer texts are shown as they are: nobody formats so much by hand. */
const CHARACTERS_MAX = 100_000;

/** See above. Plain until the renderer is here. */
export function Markdown({ text }: { text: string }) {
  const isWords = useMemo(() => text.length > CHARACTERS_MAX || isPlain(text), [text]);
  const [render, setRender] = useState(rendererNow);
  useEffect(() => {
    if (isWords || render !== null) return;
    let isHere = true;
    void loadRenderer().then((loaded) => isHere && setRender(() => loaded));
    return () => { isHere = false; };
  }, [isWords, render]);
  const markup = useMemo(() => (isWords || render === null ? null : render(text)), [isWords, render, text]);
  if (markup === null) return <p className="words">{text}</p>;
  // Sanitised by the renderer.
  return <div className="markdown" dangerouslySetInnerHTML={{ __html: markup }} />;
}
