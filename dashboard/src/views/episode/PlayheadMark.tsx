/** What is seen of an episode: what happens now, what one looks at meanwhile, or how it was. */

import { duration } from "../../steps/figures";
import { type Speed, SPEEDS } from "./playhead";
import type { Replay } from "./playhead_hook";
import "./playhead.css";

const NAMES: Record<Speed, string> = { "10s": "in 10 s", "1x": "as it was (1×)" };

interface Properties {
  replay: Replay;
  isRunning: boolean;
  isFollowing: boolean;
}

/** See above. */
export function PlayheadMark({ replay, isRunning, isFollowing }: Properties) {
  const { moment, end, isPlaying, speed, toggle, choose, stop } = replay;
  if (moment === null) {
    return (
      <span className="playhead">
        {isRunning && (
          <span className={`chip pace${isFollowing ? " following" : ""}`}>
            {isFollowing ? <span className="dot" aria-hidden /> : <span aria-hidden>❚❚</span>}
            {isFollowing ? "Following" : "Paused"}
          </span>
        )}
        <button className="plain" title="Replay it (space)" onClick={toggle}>▷ Replay</button>
      </span>
    );
  }
  return (
    <span className="playhead">
      <span className="chip pace replaying">
        {isPlaying ? "Replaying" : "Replay paused"}
        <span className="figure">{duration(moment)} of {duration(end)}</span>
      </span>
      <button className="plain" title={isPlaying ? "Pause (space)" : "Go on (space)"} aria-label={isPlaying ? "Pause the replay" : "Go on with the replay"} onClick={toggle}>
        {isPlaying ? "❚❚" : "▷"}
      </button>
      <select aria-label="Speed of the replay" value={speed} onChange={(event) => choose(SPEEDS.find((each) => each === event.target.value) ?? "10s")}>
        {SPEEDS.map((each) => <option key={each} value={each}>{NAMES[each]}</option>)}
      </select>
      <button className="plain" title="End the replay (Esc)" aria-label="End the replay" onClick={stop}>✕</button>
    </span>
  );
}
