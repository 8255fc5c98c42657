/** What the person unfolded: kept while entries come and go, so that what is scrolled back to is as it was left. */

import { createContext, useCallback, useContext, useState } from "react";

/** Names of what is unfolded, and of what was folded though it begins unfolded. */
export const Unfolded = createContext<{ names: Map<string, boolean>; onChange?: () => void }>({ names: new Map() });

/** Whether something is unfolded, and how to change that. */
export function useUnfolded(name: string, initially = false): [boolean, () => void] {
  const kept = useContext(Unfolded);
  const [isOpen, setOpen] = useState(() => kept.names.get(name) ?? initially);
  const toggle = useCallback(() => {
    kept.onChange?.();
    setOpen((before) => {
      kept.names.set(name, !before);
      return !before;
    });
  }, [kept, name]);
  return [isOpen, toggle];
}
