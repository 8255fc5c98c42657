/** The live stream as the page listens to it: one worker a question, ended when nobody asks any more. */

import type { StreamMessage } from "../api/schema";
import { api } from "../api/place";
import type { Report, Wish } from "./message";

/** What is listened to, and from where on. */
export interface Question {
  /** `epoch:cursor` to go on behind; null begins now. */
  after: string | null;
  filter?: string;
  episode?: string;
}

/** Whoever listens. */
export interface Listener {
  onMessage(message: StreamMessage): void;
  /** The connection is gone; it comes back by itself, behind the last message. */
  onAway(sinceMs: number): void;
}

/** Listen until the function that is returned is called. */
export function listen(question: Question, listener: Listener): () => void {
  const worker = new Worker(new URL("./feed.worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<Report>) => {
    if (data.type === "message") listener.onMessage(data.message);
    else if (data.type === "away") listener.onAway(data.sinceMs);
    else dispatchEvent(new Event("turnedaway"));
  };
  const http = new URL(api(""), location.href);
  const wish: Wish = {
    address: `${http.protocol === "https:" ? "wss" : "ws"}://${http.host}${http.pathname}/ws`,
    session: `${http.href}/session`,
    after: question.after,
    filter: question.filter ?? "",
    episode: question.episode ?? null,
  };
  worker.postMessage(wish);
  return () => worker.terminate();
}
