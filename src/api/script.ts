import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import express from "express";

/** What `npm run build` makes of packages/client. From `src/` and from `dist/` it is the same path. */
const FILE = new URL("../../dist/bellwire.js", import.meta.url);

/** In the order of preference. A browser names gzip first, but does not prefer it. */
const COMPRESS = { br: promisify(brotliCompress), gzip: promisify(gzip) };
const ENCODINGS = Object.keys(COMPRESS) as (keyof typeof COMPRESS)[];

/**
 * The script of the bell, for pages of every origin: `/bellwire.js`, which is revalidated, and `/bellwire.<hash>.js`, which caches may keep.
 * Another hash gets today's script too, because a page that was made before an update still needs one, but is not kept.
 */
export function scriptRoutes(): express.Router {
  const script = readScript();
  const hash = createHash("sha256").update(script).digest("hex").slice(0, 16);
  const compressed: { [Encoding in keyof typeof COMPRESS]?: Promise<Buffer> } = {};

  const router = express.Router();
  router.get("/bellwire{.:hash}.js", async (req, res) => {
    res.type("text/javascript").set({
      "Access-Control-Allow-Origin": "*",
      "Cache-Control":
        req.params.hash === hash ? "public, max-age=31536000, immutable" : "no-cache",
      "Content-Location": `bellwire.${hash}.js`,
      "Cross-Origin-Resource-Policy": "cross-origin",
      // Weak, because it is the same for all encodings.
      ETag: `W/"${hash}"`,
      Vary: "Accept-Encoding",
      "X-Content-Type-Options": "nosniff",
    });
    const encoding = ENCODINGS.find((each) => req.acceptsEncodings(each));
    if (!encoding) return void res.send(script);
    compressed[encoding] ??= COMPRESS[encoding](script);
    res.set("Content-Encoding", encoding).send(await compressed[encoding]);
  });
  return router;
}

function readScript(): Buffer {
  try {
    return readFileSync(FILE);
  } catch (cause) {
    throw new Error("There is no dist/bellwire.js. Run npm run build.", { cause });
  }
}
