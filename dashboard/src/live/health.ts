/** Whether the server answers, for views that ask instead of listening; what they show is connected, not live. */

import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";

import { get } from "../api/client";
import type { Health } from "../api/schema";
import { connection } from "./connection";

const ASKED_EVERY_MS = 2_000;

/** Ask the server again and again whether it is up, and let the connection's mark say so. */
export function useHealth(): Health | undefined {
  const { data, error, dataUpdatedAt, errorUpdatedAt } = useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => get<Health>("/health", {}, signal),
    refetchInterval: ASKED_EVERY_MS,
    retry: false,
  });
  useEffect(() => {
    if (error !== null) connection.lost(dataUpdatedAt || errorUpdatedAt);
    else if (dataUpdatedAt > 0) connection.answered();
  }, [error, dataUpdatedAt, errorUpdatedAt]);
  return data;
}
