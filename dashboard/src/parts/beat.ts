/** Something outside React that changes often: told once a frame, however often it changed. */

/** Base of what the page watches; read it with `useBeat`. */
export class Beat {
  #listeners = new Set<() => void>();
  #version = 0;
  #frame = 0;

  /** Listen to changes; pass it to `useSyncExternalStore`. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Counts what was told. */
  readonly version = (): number => this.#version;

  /** Tell whoever listens, with the next frame. */
  protected changed(): void {
    if (this.#frame !== 0) return;
    // A hidden page has no frames; it is told when it is seen again, and then all at once.
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#version += 1;
      for (const listener of this.#listeners) listener();
    });
  }

  /** Tell nobody any more. */
  protected silence(): void {
    cancelAnimationFrame(this.#frame);
    this.#listeners.clear();
  }
}
