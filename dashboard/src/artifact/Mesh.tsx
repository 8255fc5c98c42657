/** A mesh to be turned: by mouse, by touch and by keys. */

import { type KeyboardEvent, useEffect, useRef, useState } from "react";

import { count } from "../steps/figures";
import type { ViewerProperties } from "./Artifact";
import { useContents } from "./contents";
import { Failed } from "./Failed";
import { type MeshColours, type MeshFigures, MeshScene, readMesh } from "./mesh_scene";

const STEP = Math.PI / 18;

/** See above. */
export default function Mesh({ artifact }: ViewerProperties) {
  const isGlb = /\.glb$/i.test(artifact.name) || artifact.media_type === "model/gltf-binary";
  const { made, error } = useContents(artifact.sha256, (contents) => contents);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { scene, figures, problem } = useScene(canvas, made, isGlb);
  const [isWireframe, setWireframe] = useState(false);
  useEffect(() => { if (scene !== null) scene.isWireframe = isWireframe; }, [scene, isWireframe]);

  if (error !== null || problem !== null) return <Failed error={error ?? problem} />;
  const onKey = (event: KeyboardEvent): void => {
    const command = {
      ArrowLeft: () => scene?.turn(-STEP, 0),
      ArrowRight: () => scene?.turn(STEP, 0),
      ArrowUp: () => scene?.turn(0, -STEP),
      ArrowDown: () => scene?.turn(0, STEP),
      "+": () => scene?.approach(0.85),
      "-": () => scene?.approach(1 / 0.85),
      "0": () => scene?.fit(),
      w: () => setWireframe((before) => !before),
    }[event.key];
    if (command === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    command();
  };
  return (
    <div className="mesh">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={`Mesh ${artifact.name}${figures ? `, ${measures(figures)}` : ""}. Arrow keys turn it, plus and minus come closer and go away, 0 fits it, w shows its wires.`}
        onKeyDown={onKey}
        onFocus={() => scene?.takeWheel(true)}
        onBlur={() => scene?.takeWheel(false)}
        onPointerDown={(event) => event.currentTarget.focus()}
      />
      <p className="actions">
        {figures && <span className="figure" title="Sides of the bounding box along x, y and z, in the model's own unit">{measures(figures)}</span>}
        {figures && <span className="faint figure">{count(figures.triangles)} triangles</span>}
        <span className="stretch" />
        <button className="fold" aria-pressed={isWireframe} onClick={() => setWireframe(!isWireframe)}>wires</button>
        <button className="fold" onClick={() => scene?.fit()}>fit</button>
      </p>
    </div>
  );
}

function measures({ size }: MeshFigures): string {
  return size.map((side) => Number(side.toPrecision(5))).join(" × ");
}

function useScene(canvas: { current: HTMLCanvasElement | null }, contents: ArrayBuffer | null, isGlb: boolean) {
  const [scene, setScene] = useState<MeshScene | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  useEffect(() => {
    const { current } = canvas;
    if (current === null || contents === null) return;
    let isHere = true;
    let opened: MeshScene | null = null;
    const resize = (): void => opened?.resize(current.clientWidth, current.clientHeight);
    const paint = (): void => opened?.paint(coloursOf(current));
    const observer = new ResizeObserver(resize);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    readMesh(contents, isGlb).then((model) => {
      if (!isHere) return;
      opened = new MeshScene(current, model, isGlb);
      observer.observe(current);
      resize();
      opened.fit();
      paint();
      addEventListener("themechange", paint);
      dark.addEventListener("change", paint);
      setScene(opened);
    }).catch((error: unknown) => { if (isHere) setProblem(error); });
    return () => {
      isHere = false;
      observer.disconnect();
      removeEventListener("themechange", paint);
      dark.removeEventListener("change", paint);
      opened?.close();
      setScene(null);
    };
  }, [canvas, contents, isGlb]);
  return { scene, figures: scene?.figures ?? null, problem };
}

/** The tokens as canvases take colours: they do not know what depends on the theme. */
function coloursOf(canvas: HTMLCanvasElement): MeshColours {
  const style = getComputedStyle(canvas);
  const resolved = (name: string): string => {
    canvas.style.color = style.getPropertyValue(name);
    const { color } = getComputedStyle(canvas);
    canvas.style.color = "";
    return color;
  };
  return { face: resolved("--mesh-face"), edge: resolved("--mesh-edge") };
}
