import { execFileSync } from "node:child_process";
import { cpSync } from "node:fs";

/**
 * Builds `dist/` for the tests that start processes of the service: the program that is shipped, which starts in half
 * the time that tsx takes for its source.
 */
export default function setup(): void {
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
  cpSync("src/demo/page", "dist/demo/page", { recursive: true });
}
