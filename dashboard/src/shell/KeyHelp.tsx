/** The keys, in a dialog. */

import { useEffect, useRef } from "react";

const KEYS: [string, [string, string][]][] = [
  ["Everywhere", [
    ["?", "these keys"],
    ["Ctrl+K", "views, commands, episodes"],
    ["/", "to the filter, or to the words"],
    ["t", "the next theme"],
    ["Esc", "back"],
  ]],
  ["Lists", [
    ["j k", "next, previous"],
    ["g G", "start, end (follow)"],
    ["Enter", "open"],
  ]],
  ["Episodes", [
    ["x", "mark one to compare"],
    ["X", "compare the two that are marked"],
  ]],
  ["An episode", [
    ["e E", "next, previous error"],
    ["1 2", "transcript, table"],
    ["3 4 5", "waterfall, graph, plots"],
    ["Space", "replay it, pause, go on"],
    ["o", "to the step that it opens or closes"],
    ["c", "copy a link to the step"],
    ["y", "copy the step as JSON"],
    ["← →", "along the strip that has the focus"],
  ]],
  ["Waterfall", [
    ["w s", "zoom in, out"],
    ["a d", "to the left, to the right"],
    ["0", "the whole episode"],
    [". ,", "next, previous in the lane"],
  ]],
  ["Compare", [
    ["d", "to the first difference"],
    ["j k", "next, previous difference"],
    ["g G", "start, end"],
  ]],
];

/** See above. */
export function KeyHelp({ onClose }: { onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} className="key-help" aria-labelledby="key-help-title">
      <h1 id="key-help-title">Keys</h1>
      <div className="key-groups">
        {KEYS.map(([place, keys]) => (
          <section key={place}>
            <h2>{place}</h2>
            <dl>
              {keys.map(([key, what]) => (
                <div key={key}>
                  <dt>{key.split(" ").map((each) => <kbd key={each}>{each}</kbd>)}</dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <form method="dialog"><button autoFocus>Close</button></form>
    </dialog>
  );
}
