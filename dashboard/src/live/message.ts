/** What the page and its worker say to each other. */

import type { StreamMessage } from "../api/schema";

/** What is to be listened to. */
export interface Wish {
  /** Address of the WebSocket. */
  address: string;
  /** Address that answers while the server is up. */
  health: string;
  /** `epoch:cursor` to go on behind; null begins now. */
  after: string | null;
  filter: string;
  episode: string | null;
}

/** What was heard, or that nothing can be heard since a time. */
export type Report = { type: "message"; message: StreamMessage } | { type: "away"; sinceMs: number };
