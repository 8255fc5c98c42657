/** Who the person is to the server, and how they come in and go. */

import { useQuery, useQueryClient } from "@tanstack/react-query";

import { Problem, change, get } from "../api/client";
import type { SessionInformation } from "../api/schema";

const KEY = ["session"];

/** The session: undefined while it is asked for, null where nobody is signed in. */
export function useSession(): { session: SessionInformation | null | undefined; error: unknown } {
  const { data, error } = useQuery({
    queryKey: KEY,
    queryFn: async ({ signal }) => {
      try {
        return await get<SessionInformation>("/session", {}, signal);
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 401) return null;
        throw problem;
      }
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  return { session: data, error };
}

/** Sign in with a token, or out. */
export function useSigning(): { signIn(token: string): Promise<void>; signOut(csrf: string): Promise<void> } {
  const queries = useQueryClient();
  return {
    async signIn(token) {
      await change("POST", "/session", { Authorization: `Bearer ${token}` });
      await queries.invalidateQueries();
    },
    async signOut(csrf) {
      await change("DELETE", "/session", { "X-CSRF-Token": csrf });
      location.reload();
    },
  };
}
