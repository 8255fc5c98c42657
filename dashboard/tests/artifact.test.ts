import { expect, test } from "vitest";

import { pieces } from "../src/artifact/ansi";
import { parseTable } from "../src/artifact/csv";
import { shapeOnly } from "../src/artifact/glb";
import { imageTypeOf, viewerOf } from "../src/artifact/media";

test("A file's viewer is chosen by its name, and else by its type.", () => {
  expect(viewerOf("a.stl", "application/octet-stream")).toBe("mesh");
  expect(viewerOf("a", "model/gltf-binary")).toBe("mesh");
  expect(viewerOf("a.log", "application/octet-stream")).toBe("text");
  expect(viewerOf("a.csv", "text/csv")).toBe("table");
  expect(viewerOf("a.bin", "application/octet-stream")).toBe("none");
});

test("An image is only ever drawn as an image.", () => {
  expect(imageTypeOf("a.png", "text/html")).toBe("image/png");
  expect(imageTypeOf("a", "text/html")).toBe("image/png");
});

test("A table has cells with separators, quotes and line breaks in them.", () => {
  expect(parseTable('a,"b, c"\r\n1,"say ""x""\ntwice"\n')).toEqual([["a", "b, c"], ["1", 'say "x"\ntwice']]);
  expect(parseTable("a;b\n1;2,5")).toEqual([["a", "b"], ["1", "2,5"]]);
  expect(parseTable("a,\n,b")).toEqual([["a", ""], ["", "b"]]);
});

test("Terminal colours become classes, and their text stays text.", () => {
  expect(pieces("plain <b>")).toEqual([{ text: "plain <b>", className: "" }]);
  expect(pieces("\u001b[1;31mred\u001b[0m <b>")).toEqual([
    { text: "red", className: "ansi-red ansi-bold" },
    { text: " <b>", className: "" },
  ]);
});

function glb(document: object): ArrayBuffer {
  const words = new TextEncoder().encode(JSON.stringify(document).padEnd(400));
  const file = new Uint8Array(20 + words.length);
  const view = new DataView(file.buffer);
  [0x46546c67, 2, file.length, words.length, 0x4e4f534a].forEach((each, at) => view.setUint32(4 * at, each, true));
  file.set(words, 20);
  return file.buffer;
}

test("Of a mesh nothing is kept that would be fetched from elsewhere.", () => {
  const file = shapeOnly(glb({ meshes: [{ primitives: [{ material: 0 }] }], materials: [{}], images: [{ uri: "https://x.org" }] }));
  const length = new DataView(file).getUint32(12, true);
  expect(JSON.parse(new TextDecoder().decode(new Uint8Array(file, 20, length)))).toEqual({ meshes: [{ primitives: [{}] }] });
  expect(new DataView(file).getUint32(8, true)).toBe(file.byteLength);
});

test("A mesh whose shape lies elsewhere, or is packed, is refused with a reason.", () => {
  expect(() => shapeOnly(glb({ buffers: [{ uri: "https://x.org/a.bin" }] }))).toThrow("refers to others");
  expect(() => shapeOnly(glb({ extensionsRequired: ["KHR_draco_mesh_compression"] }))).toThrow("packed");
  expect(() => shapeOnly(new ArrayBuffer(4))).toThrow("not a binary glTF");
});
