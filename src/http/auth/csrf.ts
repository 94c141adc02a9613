import type { IncomingRequest } from "../incoming-request.ts";
import { Problem } from "../problem.ts";

/**
 * Refuses a request with a cookie that a page of another origin had its visitor's browser send: the cookie would make
 * it the visitor's own. Throws Problem `origin_refused`, and `body_not_json` for a write that a plain form could have
 * made. https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
 *
 * A browser names the page's origin with every write and every request across origins, and says with `Sec-Fetch-Site`
 * (over TLS) how far from us the page is. Who says neither may read, for no page gets to see the answer, and not write;
 * so over plain HTTP a page of the same site, on another host, can open streams, which nobody reads.
 */
export function refuseForeignPage(
  request: IncomingRequest,
  allowedOrigins: readonly string[],
): void {
  const { method, headers } = request;
  const isWrite = method !== "GET" && method !== "HEAD";
  const { origin } = headers;
  const site = headers["sec-fetch-site"];
  const isOwn =
    origin === undefined
      ? isNear(site, isWrite)
      : allowedOrigins.includes(origin) || isOwnOrigin(origin, headers.host);
  if (!isOwn)
    throw new Problem(
      "origin_refused",
      "This page's origin may not use the cookie. ALLOWED_ORIGINS lists the origins that may.",
    );
  if (isWrite && !isDeclaredJson(headers["content-type"]))
    throw new Problem("body_not_json", "Send Content-Type: application/json.");
}

/** `none` is the address bar. */
const isNear = (site: string | string[] | undefined, isWrite: boolean) =>
  site === undefined ? !isWrite : site === "same-origin" || site === "none";

/**
 * Where the page and we have the same host; the scheme is the proxy's affair, and cookies know none either. A proxy may
 * name the scheme's own port, which a browser leaves out.
 */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin)) return false;
  const page = new URL(origin);
  const own = `${page.protocol}//${host}`;
  return page.origin === origin && URL.canParse(own) && new URL(own).host === page.host;
}

/** Also where there is no body, at which `req.is` does not look. */
const isDeclaredJson = (contentType: string | undefined) =>
  /^application\/json\s*(;|$)/i.test(contentType ?? "");
