import { fileURLToPath } from "node:url";

/** The built command, which `build.ts` makes. */
export const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
