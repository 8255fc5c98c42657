/** A JSON file as a tree. */

import type { JsonValue } from "../api/schema";
import { JsonTree } from "../payload/JsonTree";
import type { ViewerProperties } from "./Artifact";
import { useContents } from "./contents";
import { Failed } from "./Failed";

/** See above. */
export default function JsonFile({ artifact }: ViewerProperties) {
  const { made, error } = useContents(artifact.sha256, (contents) => ({
    value: JSON.parse(new TextDecoder().decode(contents)) as JsonValue,
  }));
  if (error !== null) return <Failed error={error} />;
  if (made === null) return <div className="artifact-wait"><div className="skeleton" /></div>;
  return <div className="well"><JsonTree value={made.value} name={artifact.sha256} isOpen /></div>;
}
