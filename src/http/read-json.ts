import type { Request, RequestHandler } from "express";
import getRawBody from "raw-body";
import { Problem } from "./problem.ts";

const MAX_BYTES = 16_384;

/** After a refusal the rest of the body is read and dropped for this long. If the connection were cut at once, the refusal could be lost. */
const LINGER_MS = 1000;

/**
 * Parses a JSON body into `req.body`, which stays undefined without a body. Throws Problem `body_not_json`,
 * `body_encoding`, `body_too_large` or `request_malformed`. It refuses a body that is too large as soon as it knows that;
 * Express's own parser would read the whole body first.
 */
export const readJson: RequestHandler = async (req, _res, next) => {
  // The body of a GET has no meaning (RFC 9110 §9.3.1).
  const mayHaveBody = req.method !== "GET" && req.method !== "HEAD";
  if (mayHaveBody && hasBody(req)) req.body = await parseBody(req, req.get("content-length"));
  next();
};

/** Closes the connection if the client still sends its body after the response, because nobody reads the rest. */
export const cutUnreadBody: RequestHandler = (req, res, next) => {
  if (hasBody(req))
    res.once("finish", () => {
      if (req.complete) return;
      setTimeout(() => {
        if (!req.complete) req.socket.destroy();
      }, LINGER_MS).unref();
    });
  next();
};

function hasBody(req: Request): boolean {
  const length = req.get("content-length");
  return length === undefined ? req.get("transfer-encoding") !== undefined : Number(length) > 0;
}

async function parseBody(req: Request, length: string | undefined): Promise<unknown> {
  if (req.is("application/json") === false)
    throw new Problem("body_not_json", "Send Content-Type: application/json.");
  if (!isPlainUtf8(req))
    throw new Problem("body_encoding", "Send the body as UTF-8, not compressed.");
  const text = await getRawBody(req, {
    length: length ?? null,
    limit: MAX_BYTES,
    encoding: "utf-8",
  }).catch(refuse);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Problem("request_malformed", "The body is not valid JSON.", { cause });
  }
}

/** RFC 8259 §8.1: JSON is UTF-8. */
function isPlainUtf8(req: Request): boolean {
  const type = req.get("content-type") ?? "";
  const [, charset = "utf-8"] = /;\s*charset="?([^";\s]+)/i.exec(type) ?? [];
  const encoding = req.get("content-encoding") ?? "identity";
  return /^utf-?8$/i.test(charset) && encoding.toLowerCase() === "identity";
}

function refuse(cause: { status?: number }): never {
  if (cause.status === 413)
    throw new Problem("body_too_large", "The body may have at most 16 KB.", { cause });
  throw new Problem("request_malformed", "The body's length differs from its Content-Length.", {
    cause,
  });
}
