import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

// npm runs this after `npm ci`, and before it packs or publishes. Installing without the development dependencies must succeed, so
// this succeeds too, and says that there is no build. `shell`, because npm and tsc are .cmd files on Windows.
const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
const areInstalled = Object.keys(devDependencies).every((name) =>
  existsSync(`node_modules/${name}`),
);
// The program of `typescript` is an optional dependency, which --omit=optional leaves out.
if (areInstalled && spawnSync("tsc --version", { shell: true }).status === 0) {
  const { status } = spawnSync("npm run build", { shell: true, stdio: "inherit" });
  process.exitCode = status ?? 1;
} else {
  console.log(
    "Bellwire was not built, because not all packages for the build are installed. To build it:\n" +
      "npm ci --include=dev --include=optional && npm run build",
  );
  // A package without a build, or with an old one, must not be made.
  if (["pack", "publish"].includes(process.env.npm_command ?? "")) process.exitCode = 1;
}
