/** A file that belongs to a step: what it is, a way to keep it, and a viewer that fits it. */

import { Suspense, lazy, useState } from "react";

import type { ArtifactRef } from "../api/schema";
import { CopyButton } from "../payload/CopyButton";
import { useUnfolded } from "../payload/unfolded";
import { bytes } from "../steps/figures";
import { ASK_BYTES, addressOf } from "./contents";
import { viewerOf } from "./media";
import "./artifact.css";

const VIEWERS = {
  mesh: lazy(() => import("./Mesh")),
  image: lazy(() => import("./Picture")),
  text: lazy(() => import("./TextFile")),
  json: lazy(() => import("./JsonFile")),
  table: lazy(() => import("./TableFile")),
};

/** What every viewer is given. */
export interface ViewerProperties {
  artifact: ArtifactRef;
}

interface Properties {
  artifact: ArtifactRef;
  name: string;
  /** Whether the viewer is shown at once. */
  isOpen?: boolean;
}

/** See above. */
export function Artifact({ artifact, name, isOpen: initially = false }: Properties) {
  const [isOpen, toggle] = useUnfolded(`${name}/file`, initially);
  const kind = viewerOf(artifact.name, artifact.media_type);
  const isKept = artifact.path === null;
  return (
    <figure className="artifact">
      <figcaption>
        <span className="hue-artifact" aria-hidden>◆</span>
        <b className="clip" title={artifact.name}>{artifact.name}</b>
        <span className="faint figure" title={`${artifact.media_type}, SHA-256 ${artifact.sha256}`}>{bytes(artifact.size_bytes)}</span>
        <span className="stretch" />
        <CopyButton text={() => artifact.sha256} what={`the hash of ${artifact.name}`}>hash</CopyButton>
        {isKept && <a className="fold" href={addressOf(artifact.sha256)} download={artifact.name}>download</a>}
        {isKept && kind !== "none" && (
          <button className="fold" aria-expanded={isOpen} onClick={toggle}>{isOpen ? "hide" : "show"}</button>
        )}
      </figcaption>
      {!isKept && <p className="faint">Not kept, only referred to: <code>{artifact.path}</code></p>}
      {isKept && isOpen && kind !== "none" && <Shown artifact={artifact} kind={kind} />}
    </figure>
  );
}

function Shown({ artifact, kind }: { artifact: ArtifactRef; kind: keyof typeof VIEWERS }) {
  // Long texts are read in parts.
  const [isWanted, setWanted] = useState(kind === "text" || artifact.size_bytes <= ASK_BYTES);
  if (!isWanted) return <button onClick={() => setWanted(true)}>Load {bytes(artifact.size_bytes)}</button>;
  const Viewer = VIEWERS[kind];
  return (
    <Suspense fallback={<div className="artifact-wait"><div className="skeleton" /></div>}>
      <Viewer artifact={artifact} />
    </Suspense>
  );
}
