import { existsSync } from "node:fs";
import { buildSync } from "esbuild";

// Makes dist/bellwire.js, which the service serves: the element, and the exports of @bellwire/client, in one file.
const SOURCE = "packages/client/src";
const element = existsSync(`${SOURCE}/element.ts`) ? 'import "./element.ts";' : "";
buildSync({
  stdin: { contents: `${element} export * from "./bell.ts";`, resolveDir: SOURCE },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outfile: "dist/bellwire.js",
});
