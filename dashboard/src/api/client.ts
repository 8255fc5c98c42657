/** Questions to the API: JSON in, the server's own models out, and errors that say what the server said. */

import type { ProblemDetails } from "./schema";
import { api } from "./place";

/** What a question may be narrowed by; what is null or undefined is left out. */
export type Parameters = Record<string, string | number | boolean | null | undefined>;

/** An answer that is none; `status` is 0 where the server could not be reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly details: ProblemDetails | null,
    message: string,
  ) {
    super(message);
    this.name = "Problem";
  }
}

/** The address of a question, as it can also be opened in a browser. */
export function address(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return api(path) + (text ? `?${text}` : "");
}

/** Ask the API. Throws a Problem for every answer that is not what was asked for. */
export async function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  return (await send("GET", address(path, parameters), { signal: signal ?? null })) as T;
}

/** Send something that changes what the server knows. */
export async function change(
  method: "POST" | "DELETE",
  path: string,
  headers: Record<string, string>,
): Promise<unknown> {
  return send(method, api(path), { headers });
}

async function send(method: string, url: string, options: RequestInit): Promise<unknown> {
  let answer: Response;
  try {
    answer = await fetch(url, { ...options, method, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, null, "The server cannot be reached.");
  }
  if (answer.status === 204) return null;
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body;
  const details = isDetails(body) ? body : null;
  throw new Problem(answer.status, details, details?.detail ?? `The server answered ${answer.status}.`);
}

function isDetails(body: unknown): body is ProblemDetails {
  return typeof body === "object" && body !== null && "detail" in body && "request_id" in body;
}
