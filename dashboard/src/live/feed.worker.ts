/**
 * The worker that listens: one WebSocket to the live stream, read and parsed beside the page.
 *
 * Resumes behind the last message it saw, so that nothing is missing and nothing comes twice; a message goes to
 * the page as it came. Knows the stream's protocol; must not know what steps mean.
 */

import type { Report, Wish } from "./message";
import type { StreamMessage } from "../api/schema";

const PAUSE_MS_MIN = 250;
const PAUSE_MS_MAX = 10_000;
const SILENCE_MS = 30_000;
const BEHIND = 1013;

let wish: Wish | null = null;
let socket: WebSocket | null = null;
let after: string | null = null;
let pause = PAUSE_MS_MIN;
let heardAt = 0;
let retry: ReturnType<typeof setTimeout> | undefined;

const tell = (report: Report): void => postMessage(report);

onmessage = (event: MessageEvent<Wish>): void => {
  wish = event.data;
  after = wish.after;
  pause = PAUSE_MS_MIN;
  connect();
};

function connect(): void {
  clearTimeout(retry);
  socket?.close();
  if (wish === null) return;
  const query = new URLSearchParams();
  if (after !== null) query.set("after", after);
  if (wish.filter) query.set("filter", wish.filter);
  if (wish.episode !== null) query.set("episode", wish.episode);
  const opened = new WebSocket(`${wish.address}?${query}`);
  socket = opened;
  heardAt = Date.now();
  opened.onmessage = (event: MessageEvent<string>) => {
    heardAt = Date.now();
    pause = PAUSE_MS_MIN;
    const message = JSON.parse(event.data) as StreamMessage;
    if (message.type !== "deltas") after = `${message.epoch}:${message.cursor}`;
    tell({ type: "message", message });
  };
  opened.onclose = (event) => {
    if (socket !== opened || wish === null) return;
    socket = null;
    void askWhy(wish);
    // Whoever fell behind comes back at once; everybody else gives the server time, each another one.
    const wait = event.code === BEHIND ? 0 : pause * (0.75 + Math.random() / 2);
    tell({ type: "away", sinceMs: heardAt });
    retry = setTimeout(connect, wait);
    pause = Math.min(2 * pause, PAUSE_MS_MAX);
  };
}

// A connection that was cut without a word looks like one on which nothing happens. To come back behind the last
// message costs little and misses nothing.
setInterval(() => {
  if (socket?.readyState === WebSocket.OPEN && Date.now() - heardAt > SILENCE_MS) connect();
}, SILENCE_MS / 3);

/** Whoever cannot connect may have been signed out meanwhile; a browser does not say why it was turned away. */
async function askWhy(asked: Wish): Promise<void> {
  try {
    const answer = await fetch(asked.session, { cache: "no-store", credentials: "same-origin" });
    if (answer.status === 401) tell({ type: "turned away" });
  } catch {
    // The server is not there; the connection is tried again anyway.
  }
}
