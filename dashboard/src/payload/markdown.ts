/**
 * Markdown as markup that can do nothing: what agents wrote is not trusted.
 *
 * HTML in it is shown as it was written, pictures become links, and links go to http and https alone. The parser
 * comes when the first text needs it.
 */

import type { Config } from "dompurify";
import type { Tokens } from "marked";

/** Makes markup of markdown. */
export type Renderer = (text: string) => string;

const ALLOWED: Config = {
  ALLOWED_TAGS: [
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "blockquote",
    "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a",
  ],
  ALLOWED_ATTR: ["href", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};
const WEB = /^https?:\/\//i;
/** What makes a text more than words. */
const MARKED = /[*_`#[\]|>~]|^\s*(?:[-+]|\d+[.)])\s|\n\s*\n|https?:/m;

let renderer: Renderer | null = null;
let loading: Promise<Renderer> | null = null;

/** Whether a text looks the same with and without markdown. */
export function isPlain(text: string): boolean {
  return !MARKED.test(text);
}

/** The renderer, if it is here. */
export function rendererNow(): Renderer | null {
  return renderer;
}

/** The renderer, as soon as it is here. */
export function loadRenderer(): Promise<Renderer> {
  loading ??= load().then((loaded) => (renderer = loaded));
  return loading;
}

async function load(): Promise<Renderer> {
  const [{ Marked }, { default: purify }] = await Promise.all([import("marked"), import("dompurify")]);
  const clean = purify(window);
  if (!clean.isSupported) return (text) => `<p>${escaped(text)}</p>`;
  clean.addHook("afterSanitizeAttributes", (node) => {
    if (node.tagName === "A" && !WEB.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
    if (node.hasAttribute("href")) {
      node.setAttribute("target", "_blank");
      node.setAttribute("rel", "noopener noreferrer");
    }
  });
  const marked = new Marked({
    gfm: true,
    breaks: true,
    renderer: {
      html: ({ text }: Tokens.HTML | Tokens.Tag) => escaped(text),
      image: ({ href, text }: Tokens.Image) => link(href, escaped(text || href)),
      link({ href, tokens }: Tokens.Link) {
        return link(href, this.parser.parseInline(tokens));
      },
      checkbox: ({ checked }: Tokens.Checkbox) => (checked ? "☑ " : "☐ "),
    },
  });
  return (text) => clean.sanitize(marked.parse(text, { async: false }), ALLOWED);
}

function link(address: string, words: string): string {
  if (!WEB.test(address)) return words;
  return `<a href="${escaped(address)}" target="_blank" rel="noopener noreferrer">${words}</a>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
}
