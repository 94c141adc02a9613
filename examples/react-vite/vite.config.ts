import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The page reaches the service through its own origin, as behind the proxy of a real site. The demo of `npm start` acts as any user
// whose id is in the path; with a service of your own, `"/api/notifications": "http://localhost:3001"` and your cookie are enough.
const proxy = {
  "/api/notifications": {
    target: process.env.BELLWIRE_URL ?? "http://localhost:3000",
    rewrite: (path: string) => `/demo/as/2${path}`,
  },
};

export default defineConfig({ plugins: [react()], server: { proxy }, preview: { proxy } });
