import { execFileSync } from "node:child_process";

/**
 * Compiles `dist/` for the tests that start processes of the service: the program that is shipped, which starts in half
 * the time that tsx takes for its source. It does not empty `dist/` first, because another run of tests may be using it.
 */
export default function setup(): void {
  execFileSync("npm", ["run", "-s", "compile"], { stdio: "inherit" });
}
