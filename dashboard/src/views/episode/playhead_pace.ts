/** Whether what is shown of an episode follows it: told by the tab that knows, to the head that says so. */

import { createContext, useContext, useEffect } from "react";

/** Where it is told. */
export const PaceTold = createContext<(isFollowing: boolean) => void>(() => {});

/** Tell it, for as long as the tab is there. */
export function useTellPace(isFollowing: boolean): void {
  const tell = useContext(PaceTold);
  useEffect(() => {
    tell(isFollowing);
    return () => tell(true);
  }, [tell, isFollowing]);
}
