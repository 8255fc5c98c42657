/** Which viewer a file is for, by its media type and its name. Pure. */

/** A way to look at a file. */
export type Viewer = "mesh" | "image" | "text" | "json" | "table" | "none";

const BY_NAME: [RegExp, Viewer][] = [
  [/\.(stl|glb)$/i, "mesh"],
  [/\.(png|jpe?g|gif|webp|svg)$/i, "image"],
  [/\.(json|geojson|ipynb)$/i, "json"],
  [/\.(csv|tsv)$/i, "table"],
  [/\.(txt|log|md|out|err|py|js|ts|c|h|cpp|rs|go|sh|toml|ya?ml|ini|cfg|xml|html?|css|sql|jsonl|ndjson|diff|patch|obj|step|stp|inp|dat|gcode)$/i, "text"],
];

/** The viewer of a file. */
export function viewerOf(name: string, mediaType: string): Viewer {
  const byName = BY_NAME.find(([pattern]) => pattern.test(name))?.[1];
  if (byName !== undefined) return byName;
  if (mediaType === "model/stl" || mediaType === "model/gltf-binary") return "mesh";
  if (mediaType.startsWith("image/")) return "image";
  if (mediaType === "application/json") return "json";
  if (mediaType === "text/csv" || mediaType === "text/tab-separated-values") return "table";
  return mediaType.startsWith("text/") ? "text" : "none";
}

/** Types that a browser only draws. */
const IMAGES: Record<string, string> = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", svg: "image/svg+xml",
};

/** The type under which an image is drawn. */
export function imageTypeOf(name: string, mediaType: string): string {
  const byName = IMAGES[name.slice(name.lastIndexOf(".") + 1).toLowerCase()];
  return byName ?? (Object.values(IMAGES).includes(mediaType) ? mediaType : "image/png");
}
