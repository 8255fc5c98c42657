/** Who the person is to the server, and how they come in and go. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { Problem, change, get } from "../api/client";
import type { SessionInformation } from "../api/schema";

const KEY = ["session"];

/** Who the person is, and why the server lets nobody in where it does not. */
interface Standing {
  /** Undefined while it is asked for, null where nobody is signed in. */
  session: SessionInformation | null | undefined;
  refusal: string | null;
  error: unknown;
}

/** The session. */
export function useSession(): Standing {
  const { data, error } = useQuery({
    queryKey: KEY,
    queryFn: async ({ signal }) => {
      try {
        return { session: await get<SessionInformation>("/session", {}, signal), refusal: null };
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 401) return { session: null, refusal: problem.message };
        throw problem;
      }
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  return { session: data?.session, refusal: data?.refusal ?? null, error };
}

/** Ask who one is again, when the stream was turned away. */
export function useSignedOut(): void {
  const queries = useQueryClient();
  useEffect(() => {
    const ask = (): void => void queries.invalidateQueries({ queryKey: KEY });
    addEventListener("turnedaway", ask);
    return () => removeEventListener("turnedaway", ask);
  }, [queries]);
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
