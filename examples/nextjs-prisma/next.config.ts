import type { NextConfig } from "next";

const bellwire = process.env.BELLWIRE_URL ?? "http://127.0.0.1:3001";

export default {
  // The bell's requests go to the service through the application's own origin, with its cookie. See the README for
  // production.
  rewrites: async () => [
    {
      source: "/api/notifications/:path*",
      destination: `${bellwire}/api/notifications/:path*`,
    },
  ],
} satisfies NextConfig;
