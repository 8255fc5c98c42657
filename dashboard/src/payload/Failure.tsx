/** An error: what it says, where in the person's own code it happened, and what it came from. */

import { useState } from "react";

import type { ErrorReport, ExceptionReport, Frame } from "../api/schema";
import { CopyButton } from "./CopyButton";
import { type Stretch, shortFile, shortType, stretches, whereToLook } from "./frames";
import { Text } from "./Text";
import { useUnfolded } from "./unfolded";

const MESSAGE = { lines: 8, characters: 1_200 };

/** In full: traceback folded to own lines, causes, members of groups, and the text as the interpreter wrote it. */
export function Failure({ report, name }: { report: ErrorReport; name: string }) {
  const [isText, setText] = useState(false);
  return (
    <div className="failure">
      <Exception exception={report} name={name} />
      {report.traceback !== null && (
        <p className="actions">
          <button className="fold" aria-expanded={isText} onClick={() => setText(!isText)}>
            {isText ? "hide the text" : "traceback as text"}
          </button>
          <CopyButton text={() => report.traceback ?? ""} what="the traceback" />
        </p>
      )}
      {isText && <Text text={report.traceback ?? ""} name={`${name}/text`} />}
    </div>
  );
}

/** In a list: what it says and where to look; the traceback unfolds in place. */
export function BriefFailure({ report, name }: { report: ErrorReport; name: string }) {
  const [isOpen, toggle] = useUnfolded(`${name}/traceback`);
  const where = whereToLook(report.frames);
  const depth = report.frames.length;
  const more = report.cause !== null || report.exceptions.length > 0 || depth > 1 || report.traceback !== null;
  return (
    <div className="failure">
      {isOpen ? <Failure report={report} name={name} /> : (
        <>
          <Said exception={report} name={name} />
          {where !== null && <FrameLine frame={where} />}
        </>
      )}
      {more && (
        <button className="fold" aria-expanded={isOpen} onClick={toggle}>
          {isOpen ? "fold the traceback" : `traceback${depth > 0 ? `, ${depth} frames` : ""}${insides(report)}`}
        </button>
      )}
    </div>
  );
}

function insides({ cause, exceptions }: ErrorReport): string {
  const parts = [];
  if (cause !== null) parts.push(`from ${shortType(cause.exception_type)}`);
  if (exceptions.length > 0) parts.push(`${exceptions.length} inside`);
  return parts.length ? `, ${parts.join(", ")}` : "";
}

type AnyException = Pick<ErrorReport, "message" | "exception_type" | "frames" | "cause" | "exceptions">;

function Said({ exception, name }: { exception: AnyException; name: string }) {
  return (
    <div className="failure-said">
      {exception.exception_type !== null && (
        <strong className="bad" title={exception.exception_type}>{shortType(exception.exception_type)}</strong>
      )}
      <Text text={exception.message || "no message"} name={`${name}/message`} fold={MESSAGE} />
    </div>
  );
}

function Exception({ exception, name }: { exception: AnyException; name: string }) {
  return (
    <>
      <Said exception={exception} name={name} />
      <Traceback frames={exception.frames} name={`${name}/frames`} />
      {exception.cause !== null && (
        <div className="failure-inside">
          <p className="faint">{relationOf(exception.cause)}</p>
          <Exception exception={exception.cause} name={`${name}/cause`} />
        </div>
      )}
      {exception.exceptions.map((each, at) => (
        <div className="failure-inside" key={at}>
          <p className="faint">{at + 1} of {exception.exceptions.length} in the group</p>
          <Exception exception={each} name={`${name}/${at}`} />
        </div>
      ))}
    </>
  );
}

/** How Python says it. */
function relationOf({ relation }: ExceptionReport): string {
  return relation === "context" ? "while this was handled" : "raised from";
}

function Traceback({ frames, name }: { frames: Frame[]; name: string }) {
  if (frames.length === 0) return null;
  return (
    <ol className="frames" aria-label="Traceback, innermost last">
      {stretches(frames).map((stretch, at) => <Frames key={at} stretch={stretch} name={`${name}/${at}`} />)}
    </ol>
  );
}

function Frames({ stretch: { isOwn, frames }, name }: { stretch: Stretch; name: string }) {
  const [isOpen, toggle] = useUnfolded(name, isOwn);
  return (
    <>
      {!isOwn && (
        <li>
          <button className="fold" aria-expanded={isOpen} onClick={toggle}>
            {isOpen ? "fold" : ""} {frames.length} library {frames.length === 1 ? "frame" : "frames"}
          </button>
        </li>
      )}
      {isOpen && frames.map((frame, at) => <li key={at} className={isOwn ? "" : "faint"}><FrameLine frame={frame} /></li>)}
    </>
  );
}

function FrameLine({ frame }: { frame: Frame }) {
  return (
    <div className="frame">
      <span className="frame-where"><b>{frame.function}</b> <span className="soft" title={`${frame.file}:${frame.line}`}>{shortFile(frame.file)}:{frame.line}</span></span>
      {frame.code !== null && <code>{frame.code}</code>}
    </div>
  );
}
