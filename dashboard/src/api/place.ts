/** Where the page stands: the path of the server behind its proxy, and the proof that our styles are ours. */

const told = (name: string): string =>
  document.querySelector<HTMLMetaElement>(`meta[name="stepstream-${name}"]`)?.content ?? "";

/** Path before every address of the server; empty where it stands at the root. */
export const root = told("root");

/** What a style element needs to pass the content security policy. */
export const nonce = told("nonce");

/** Address of a route of the API. */
export const api = (path: string): string => `${root}/api/v1${path}`;
