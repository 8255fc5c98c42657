/** What stands where a file could not be shown. */

/** See above. */
export function Failed({ error }: { error: unknown }) {
  return <p className="bad" role="alert">{error instanceof Error ? error.message : String(error)}</p>;
}
