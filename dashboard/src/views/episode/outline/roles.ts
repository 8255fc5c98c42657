/** Who works in an episode: asked for when something was logged, as often as the server can bear. */

import { useQuery } from "@tanstack/react-query";

import { get } from "../../../api/client";
import type { Episode, RoleGraph } from "../../../api/schema";

const RENEW_MS = 3_000;
/** Beyond so many steps counting roles costs the server too much to be done again and again. */
const RENEWED_STEPS_MAX = 20_000;

/** See above. */
export function useRoles({ id, status, steps }: Episode): { roles: RoleGraph | undefined; error: unknown; isRenewed: boolean } {
  const isRunning = status === "running";
  const isRenewed = !isRunning || steps <= RENEWED_STEPS_MAX;
  const { data, error } = useQuery({
    // What ended is counted once more.
    queryKey: ["roles", id, isRunning],
    queryFn: ({ signal }) => get<RoleGraph>(`/episodes/${id}/roles`, {}, signal),
    placeholderData: (before) => before,
    refetchInterval: isRunning && isRenewed ? RENEW_MS : false,
  });
  return { roles: data, error, isRenewed };
}
