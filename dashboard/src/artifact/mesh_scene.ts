/**
 * A mesh on a canvas: drawn when something changed, and never else. Knows three; must not know of components.
 *
 * STL has its z axis upwards, as CAD has; glTF has y.
 */

import {
  Box3, BufferGeometry, Color, DirectionalLight, EdgesGeometry, Group, HemisphereLight, LineBasicMaterial, LineSegments,
  Mesh, MeshStandardMaterial, PerspectiveCamera, Scene, Spherical, Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { STLLoader } from "three/examples/jsm/loaders/STLLoader.js";

import { shapeOnly } from "./glb";

/** Edges are worked out for meshes of so many triangles. */
const EDGES_TRIANGLES_MAX = 150_000;
const EDGE_DEGREES = 25;
const FIELD_DEGREES = 32;

/** What can be said of a mesh. */
export interface MeshFigures {
  /** Sides of its bounding box along x, y and z, in the model's own unit. */
  size: [number, number, number];
  triangles: number;
}

/** Colours as canvases take them. */
export interface MeshColours {
  face: string;
  edge: string;
}

/** The model in a file. */
export async function readMesh(contents: ArrayBuffer, isGlb: boolean): Promise<Group> {
  const model = new Group();
  if (isGlb) model.add((await new GLTFLoader().parseAsync(shapeOnly(contents), "")).scene);
  else model.add(new Mesh(new STLLoader().parse(contents)));
  return model;
}

/** See above. */
export class MeshScene {
  readonly figures: MeshFigures;
  #renderer: WebGLRenderer;
  #scene = new Scene();
  #camera = new PerspectiveCamera(FIELD_DEGREES, 1, 0.1, 1000);
  #controls: OrbitControls;
  #face = new MeshStandardMaterial({ roughness: 0.75, metalness: 0.05, side: 2, flatShading: true, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 });
  #edge = new LineBasicMaterial({ transparent: true, opacity: 0.55 });
  #box: Box3;
  #frame = 0;

  /** Throws where the browser has no WebGL. */
  constructor(canvas: HTMLCanvasElement, model: Group, isGlb: boolean) {
    this.#renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    if (!isGlb) this.#camera.up.set(0, 0, 1);
    this.#controls = new OrbitControls(this.#camera, canvas);
    // A wheel over the mesh scrolls the page, until the mesh has the focus.
    this.#controls.enableZoom = false;
    this.#controls.addEventListener("change", this.#draw);
    const triangles = this.#dress(model);
    this.#box = new Box3().setFromObject(model);
    const size = this.#box.getSize(new Vector3());
    this.figures = { size: [size.x, size.y, size.z], triangles };
    const key = new DirectionalLight(0xffffff, 2);
    key.position.set(0.5, 0.8, 1);
    this.#camera.add(key);
    this.#scene.add(model, this.#camera, new HemisphereLight(0xffffff, 0x777788, 1.2));
    this.fit();
  }

  /** Every mesh in our own material, with its edges; returns the number of triangles. */
  #dress(model: Group): number {
    let triangles = 0;
    const meshes: Mesh<BufferGeometry>[] = [];
    model.traverse((each) => { if (each instanceof Mesh && each.geometry instanceof BufferGeometry) meshes.push(each as Mesh<BufferGeometry>); });
    for (const mesh of meshes) {
      const { index, attributes } = mesh.geometry;
      triangles += Math.floor((index?.count ?? attributes.position?.count ?? 0) / 3);
      mesh.material = this.#face;
    }
    if (triangles <= EDGES_TRIANGLES_MAX) {
      for (const mesh of meshes) mesh.add(new LineSegments(new EdgesGeometry(mesh.geometry, EDGE_DEGREES), this.#edge));
    }
    return triangles;
  }

  /** See all of it, from the front, the right and above. */
  fit(): void {
    const centre = this.#box.getCenter(new Vector3());
    const radius = Math.max(1e-6, this.#box.getSize(new Vector3()).length() / 2);
    const narrow = Math.min(1, this.#camera.aspect);
    const distance = (radius / Math.sin((FIELD_DEGREES / 2) * (Math.PI / 180))) / narrow;
    const from = this.#camera.up.z === 1 ? new Vector3(0.8, -1, 0.65) : new Vector3(0.8, 0.65, 1);
    this.#camera.near = distance / 100;
    this.#camera.far = distance * 100;
    this.#camera.position.copy(centre).addScaledVector(from.normalize(), distance);
    this.#camera.updateProjectionMatrix();
    this.#controls.target.copy(centre);
    this.#controls.update();
    this.#draw();
  }

  /** Turn it by angles in radians. */
  turn(across: number, up: number): void {
    const away = this.#camera.position.clone().sub(this.#controls.target);
    const upright = this.#camera.up.z === 1;
    // Spherical angles are about y.
    if (upright) away.set(away.x, away.z, -away.y);
    const angles = new Spherical().setFromVector3(away);
    angles.theta += across;
    angles.phi = Math.min(Math.PI - 0.05, Math.max(0.05, angles.phi + up));
    away.setFromSpherical(angles);
    if (upright) away.set(away.x, -away.z, away.y);
    this.#camera.position.copy(this.#controls.target).add(away);
    this.#controls.update();
    this.#draw();
  }

  /** Come closer by a factor; beyond one goes away. */
  approach(factor: number): void {
    const away = this.#camera.position.clone().sub(this.#controls.target).multiplyScalar(factor);
    this.#camera.position.copy(this.#controls.target).add(away);
    this.#controls.update();
    this.#draw();
  }

  /** Whether a wheel comes closer. */
  takeWheel(isTaken: boolean): void {
    this.#controls.enableZoom = isTaken;
  }

  set isWireframe(is: boolean) {
    this.#face.wireframe = is;
    this.#edge.visible = !is;
    this.#draw();
  }

  paint({ face, edge }: MeshColours): void {
    this.#face.color = new Color(face);
    this.#edge.color = new Color(edge);
    this.#draw();
  }

  resize(width: number, height: number): void {
    if (width === 0 || height === 0) return;
    this.#renderer.setPixelRatio(devicePixelRatio);
    this.#renderer.setSize(width, height, false);
    this.#camera.aspect = width / height;
    this.#camera.updateProjectionMatrix();
    this.#draw();
  }

  /** Give back what the graphics card holds. */
  close(): void {
    cancelAnimationFrame(this.#frame);
    this.#controls.dispose();
    this.#scene.traverse((each) => { if (each instanceof Mesh || each instanceof LineSegments) each.geometry.dispose(); });
    this.#face.dispose();
    this.#edge.dispose();
    this.#renderer.dispose();
  }

  #draw = (): void => {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#renderer.render(this.#scene, this.#camera);
    });
  };
}
