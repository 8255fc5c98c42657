/** The bytes of artifacts: whole, or parts of them. They are data, never a document of this page. */

import { useEffect, useState } from "react";

import { Problem, address } from "../api/client";

/** Files beyond this are only read when the person says so. */
export const ASK_BYTES = 20e6;

/** Where the bytes are. */
export function addressOf(sha256: string): string {
  return address(`/artifacts/${sha256}`);
}

/** All bytes. */
export function readAll(sha256: string, signal: AbortSignal): Promise<ArrayBuffer> {
  return read(sha256, {}, signal);
}

/** Bytes from one place to another, which is not among them. */
export function readPart(sha256: string, from: number, to: number, signal: AbortSignal): Promise<ArrayBuffer> {
  return read(sha256, { Range: `bytes=${from}-${to - 1}` }, signal);
}

async function read(sha256: string, headers: Record<string, string>, signal: AbortSignal): Promise<ArrayBuffer> {
  const answer = await fetch(addressOf(sha256), { headers, signal, credentials: "same-origin" });
  if (answer.ok) return answer.arrayBuffer();
  const details = (await answer.json().catch(() => null)) as { detail?: string } | null;
  throw new Problem(answer.status, null, details?.detail ?? `The server answered ${answer.status}.`);
}

/** What was made of all bytes of a file, or why that failed. */
export function useContents<T>(sha256: string, make: (bytes: ArrayBuffer) => T): { made: T | null; error: unknown } {
  const [state, setState] = useState<{ made: T | null; error: unknown }>({ made: null, error: null });
  useEffect(() => {
    const abort = new AbortController();
    setState({ made: null, error: null });
    readAll(sha256, abort.signal)
      .then((bytes) => setState({ made: make(bytes), error: null }))
      .catch((error: unknown) => { if (!abort.signal.aborted) setState({ made: null, error }); });
    return () => abort.abort();
    // What is made of it never changes.
  }, [sha256]);
  return state;
}
