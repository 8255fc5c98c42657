/** What the page and its worker say to each other. */

import type { StreamMessage } from "../api/schema";

/** What is to be listened to. */
export interface Wish {
  /** Address of the WebSocket. */
  address: string;
  /** Address that tells whether one is signed in. */
  session: string;
  /** `epoch:cursor` to go on behind; null begins now. */
  after: string | null;
  filter: string;
  episode: string | null;
}

/** What was heard; that nothing can be heard since a time; or that one is not signed in any more. */
export type Report =
  | { type: "message"; message: StreamMessage }
  | { type: "away"; sinceMs: number }
  | { type: "turned away" };
