/** An image: fitted, or dot by dot. */

import { useEffect, useState } from "react";

import type { ViewerProperties } from "./Artifact";
import { useContents } from "./contents";
import { Failed } from "./Failed";
import { imageTypeOf } from "./media";

/** See above. */
export default function Picture({ artifact }: ViewerProperties) {
  const [isActual, setActual] = useState(false);
  const [size, setSize] = useState<string | null>(null);
  const { made: address, error } = useContents(artifact.sha256, (contents) =>
    URL.createObjectURL(new Blob([contents], { type: imageTypeOf(artifact.name, artifact.media_type) })));
  useEffect(() => () => { if (address !== null) URL.revokeObjectURL(address); }, [address]);
  if (error !== null) return <Failed error={error} />;
  if (address === null) return <div className="artifact-wait"><div className="skeleton" /></div>;
  return (
    <div>
      <div className={isActual ? "picture actual" : "picture"} tabIndex={isActual ? 0 : undefined}>
        <img
          src={address}
          alt={artifact.name}
          onLoad={({ currentTarget: image }) => setSize(`${image.naturalWidth} × ${image.naturalHeight}`)}
          onError={() => setSize("cannot be drawn")}
        />
      </div>
      <p className="actions">
        <span className="faint figure">{size}</span>
        <button className="fold" aria-pressed={isActual} onClick={() => setActual(!isActual)}>actual size</button>
      </p>
    </div>
  );
}
