/**
 * Binary glTF made harmless: only what is in the file itself, and only its shape.
 *
 * A GLB may name images and buffers elsewhere, which must never be fetched. Pure; must not know how it is drawn.
 */

const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const HEADER = 12;
const CHUNK_HEADER = 8;
/** Extensions whose decoders we do not carry. */
const DECODERS = ["KHR_draco_mesh_compression", "EXT_meshopt_compression"];

interface Document {
  buffers?: { uri?: string }[];
  materials?: unknown[];
  meshes?: { primitives?: { material?: number }[] }[];
  extensionsUsed?: string[];
  extensionsRequired?: string[];
  images?: unknown;
  textures?: unknown;
  samplers?: unknown;
}

/** The same file without pictures and materials. Throws where its shape lies elsewhere or is packed. */
export function shapeOnly(file: ArrayBuffer): ArrayBuffer {
  const view = new DataView(file);
  if (file.byteLength < HEADER + CHUNK_HEADER || view.getUint32(0, true) !== MAGIC || view.getUint32(HEADER + 4, true) !== JSON_CHUNK) {
    throw new Error("This is not a binary glTF file.");
  }
  const length = view.getUint32(HEADER, true);
  const start = HEADER + CHUNK_HEADER;
  const document = JSON.parse(new TextDecoder().decode(new Uint8Array(file, start, length))) as Document;
  const packed = DECODERS.find((each) => document.extensionsRequired?.includes(each));
  if (packed !== undefined) throw new Error(`This file is packed (${packed}) and cannot be shown here; download it.`);
  if (document.buffers?.some((buffer) => buffer.uri !== undefined)) {
    throw new Error("This file refers to others, which are not fetched; download it.");
  }
  for (const mesh of document.meshes ?? []) for (const primitive of mesh.primitives ?? []) delete primitive.material;
  for (const name of ["images", "textures", "samplers", "materials", "extensionsUsed", "extensionsRequired"] as const) delete document[name];
  return packedAgain(document, new Uint8Array(file, start + length));
}

function packedAgain(document: Document, rest: Uint8Array<ArrayBuffer>): ArrayBuffer {
  const words = new TextEncoder().encode(JSON.stringify(document));
  const length = Math.ceil(words.length / 4) * 4;
  const start = HEADER + CHUNK_HEADER;
  const file = new Uint8Array(start + length + rest.length).fill(0x20);
  const view = new DataView(file.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, 2, true);
  view.setUint32(8, file.length, true);
  view.setUint32(HEADER, length, true);
  view.setUint32(HEADER + 4, JSON_CHUNK, true);
  file.set(words, start);
  file.set(rest, start + length);
  return file.buffer;
}
