import react from "@vitejs/plugin-react";
import { type Plugin, defineConfig } from "vite";

/** Stands in for the server, which fills in index.html: `STEPSTREAM_SERVER=http://... npx vite` shows changes at once. */
const filledIn: Plugin = {
  name: "stepstream-filled-in",
  apply: "serve",
  transformIndexHtml: (html) => html.replace("%root%", "").replace("%nonce%", ""),
};

const server = process.env.STEPSTREAM_SERVER ?? "http://127.0.0.1:8321";

// Relative addresses: the server may stand behind a proxy at any path, and puts that path into index.html.
export default defineConfig(({ command }) => ({
  base: command === "serve" ? "/" : "./",
  plugins: [react(), filledIn],
  server: {
    host: "127.0.0.1",
    // The server asks whose page it is that calls; here it is to take the call for one of its own.
    proxy: { "/api": { target: server, ws: true, changeOrigin: true, headers: { origin: server } } },
  },
  build: {
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: "manifest.json",
    chunkSizeWarningLimit: 800,
  },
  worker: { format: "es" },
}));
