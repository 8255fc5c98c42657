/** Copies a text, and says that it did. */

import { useState } from "react";

const SAID_MS = 1_500;

/** See above. The text is only made when it is asked for. */
export function CopyButton({ text, what, children = "copy" }: { text(): string; what: string; children?: string }) {
  const [said, setSaid] = useState<string | null>(null);
  const copy = async (): Promise<void> => {
    const isCopied = await copyText(text());
    setSaid(isCopied ? "copied" : "not copied");
    setTimeout(() => setSaid(null), SAID_MS);
  };
  return (
    <button className="fold" aria-label={said ?? `Copy ${what}`} title={`Copy ${what}`} onClick={() => void copy()}>
      {said ?? children}
    </button>
  );
}

/** Put a text on the clipboard; false where the browser does not let us. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/** The old way: where the page did not come by https, there is no other. */
function copySelected(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}
