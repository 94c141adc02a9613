import type { IncomingRequest } from "../incoming-request.ts";
import { Problem } from "../problem.ts";

/**
 * Protects requests with a cookie from cross-site request forgery: a page of another origin can make its visitor's browser
 * send the visitor's cookie. Throws Problem `origin_refused`, and `body_not_json` for a write that an HTML form could send.
 * https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
 *
 * A browser sends `Origin` with every write and every cross-origin request that its page could read, and `Sec-Fetch-Site` over
 * TLS. A request with neither header may read, because no page sees the response. It may not write. So over plain HTTP a page on
 * another host of the same site can open streams, but cannot read them.
 */
export function refuseCrossOrigin(
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
      "This page's origin may not use the cookie. Add it to ALLOWED_ORIGINS; or let the proxy pass Host on. The service's log names it.",
      { reason: describeRefused(headers, allowedOrigins) },
    );
  if (isWrite && !isDeclaredJson(headers["content-type"]))
    throw new Problem("body_not_json", "Send Content-Type: application/json.");
}

/** Why a browser will keep the answer from its page, which no allowed origin has; undefined if it will not. */
export function describeForeign(
  headers: IncomingRequest["headers"],
  allowedOrigins: readonly string[],
): string | undefined {
  const { origin, host } = headers;
  const isAllowed =
    origin === undefined || allowedOrigins.includes(origin) || isOwnOrigin(origin, host);
  // Behind a proxy that changes Host, only the browser knows that the page is ours.
  if (isAllowed || headers["sec-fetch-site"] === "same-origin") return undefined;
  return describeRefused(headers, allowedOrigins);
}

/** Names an origin only in a browser's form, which has no path and no password. */
function describeRefused(
  { origin, host = "" }: IncomingRequest["headers"],
  allowedOrigins: readonly string[],
): string {
  if (origin === undefined) return "a cookie with neither Origin nor Sec-Fetch-Site: same-origin";
  if (origin.length > 300 || !URL.canParse(origin) || new URL(origin).origin !== origin)
    return "a page without an origin: a file, or a frame with sandbox";
  return (
    `a page of ${origin}, while Host is ${/^[\w.:[\]-]{1,300}$/.test(host) ? host : "no host"}. If it is yours, set ALLOWED_ORIGINS=${[...allowedOrigins, origin].join(",")}` +
    " or, if the two should be the same, let the proxy pass Host on"
  );
}

/** `none` means that the user typed the URL or opened a bookmark. */
const isNear = (site: string | string[] | undefined, isWrite: boolean) =>
  site === undefined ? !isWrite : site === "same-origin" || site === "none";

/**
 * Compares hosts. The scheme is not compared, because a proxy may end TLS, and cookies ignore it as well. A proxy may send
 * the scheme's default port, which a browser leaves out.
 */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin)) return false;
  const page = new URL(origin);
  const own = `${page.protocol}//${host}`;
  return page.origin === origin && URL.canParse(own) && new URL(own).host === page.host;
}

/** Also checked without a body, unlike `req.is`. */
const isDeclaredJson = (contentType: string | undefined) =>
  /^application\/json\s*(;|$)/i.test(contentType ?? "");
