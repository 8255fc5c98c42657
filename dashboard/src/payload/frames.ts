/** Lines of a traceback: which of them are the person's own, and how their files are called in short. Pure. */

import type { Frame } from "../api/schema";

/** A run of lines: the person's own, or those of libraries. */
export interface Stretch {
  isOwn: boolean;
  frames: Frame[];
}

// What is installed, what comes with Python, and what stepstream puts round a tool.
const LIBRARY = /(?:^|[\\/])(?:site-packages|dist-packages|node_modules|lib[\\/]python[\d.]+|stepstream[\\/]sdk)[\\/]|^<frozen|^<string>$/;

/** Whether a line is of code that is not the project's. */
export function isLibrary(frame: Frame): boolean {
  return LIBRARY.test(frame.file);
}

/** Lines in the order they came, own and others apart. All are own where none is. */
export function stretches(frames: Frame[]): Stretch[] {
  const hasOwn = frames.some((frame) => !isLibrary(frame));
  const found: Stretch[] = [];
  for (const frame of frames) {
    const isOwn = !hasOwn || !isLibrary(frame);
    const latest = found.at(-1);
    if (latest?.isOwn === isOwn) latest.frames.push(frame);
    else found.push({ isOwn, frames: [frame] });
  }
  return found;
}

/** The innermost own line: where to look first. */
export function whereToLook(frames: Frame[]): Frame | null {
  return frames.findLast((frame) => !isLibrary(frame)) ?? frames.at(-1) ?? null;
}

/** The last parts of a file's path. */
export function shortFile(file: string): string {
  return file.split(/[\\/]/).slice(-3).join("/");
}

/** An exception's class without its module. */
export function shortType(type: string): string {
  return type.slice(type.lastIndexOf(".") + 1);
}
