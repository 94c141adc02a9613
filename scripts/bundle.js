import { buildSync } from "esbuild";

// Makes dist/bellwire.js, which the service serves: the element, and the exports of @bellwire/client, in one file.
buildSync({
  stdin: {
    contents: 'import "./element.ts"; export * from "./bell.ts";',
    resolveDir: "packages/client/src",
  },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outfile: "dist/bellwire.js",
});
