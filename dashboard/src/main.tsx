/** The page: what everything stands in. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";

import { root } from "./api/place";
import { Problem } from "./api/client";
import { Shell } from "./shell/Shell";
import { applyTheme } from "./shell/theme";
import "./styles/tokens.css";
import "./styles/base.css";

const RETRIES_MAX = 3;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      refetchOnWindowFocus: false,
      // What the server refused it refuses again; what it could not answer it may answer later.
      retry: (failures, error) =>
        failures < RETRIES_MAX && !(error instanceof Problem && error.status >= 400 && error.status < 500),
    },
  },
});

applyTheme();
const place = document.getElementById("app");
if (place === null) throw new Error("the page has no place for the dashboard");
createRoot(place).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Router base={root}>
        <Shell />
      </Router>
    </QueryClientProvider>
  </StrictMode>,
);
