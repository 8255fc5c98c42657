/** How the connection stands, for the mark in the header: heard, waiting for what was missed, or away. */

import { Beat } from "../parts/beat";

/**
 * `catching up` is between coming back and having heard all that was missed; `connected` is said where a view asks
 * and nothing is listened to.
 */
export type Standing = "connecting" | "catching up" | "live" | "connected" | "away";

/** One for the page: the view that listens says how it stands. */
class Connection extends Beat {
  standing: Standing = "connecting";
  /** Since when nothing was heard, in ms since 1970. */
  sinceMs = Date.now();
  /** When something was heard last, in ms since 1970. */
  heardAtMs = Date.now();

  /** A message came. */
  heard(isLive: boolean): void {
    this.heardAtMs = Date.now();
    const standing = isLive ? "live" : this.standing === "live" ? "live" : "catching up";
    if (standing !== this.standing) {
      this.standing = standing;
      this.changed();
    }
  }

  /** The server answered a view that asks. */
  answered(): void {
    this.heardAtMs = Date.now();
    if (this.standing === "connected") return;
    this.standing = "connected";
    this.changed();
  }

  /** The connection is gone. */
  lost(sinceMs: number): void {
    this.standing = "away";
    this.sinceMs = sinceMs;
    this.changed();
  }

  /** A view begins to listen. */
  begin(): void {
    this.standing = "connecting";
    this.changed();
  }
}

export const connection = new Connection();
