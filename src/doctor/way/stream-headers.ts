import { broken, type Finding, look, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { nameOf, proxyOf } from "./proxy.ts";
import type { Head } from "./request.ts";

/** What a proxy made of the stream's headers. */
export function checkStreamHeaders(head: Head): Finding[] {
  return [checkCacheControl(head), checkCompression(head)];
}

function checkCacheControl(head: Head): Finding {
  const value = head.headers["cache-control"] ?? "";
  if (/no-cache|no-store/.test(value) && /no-transform/.test(value))
    return well("cache_control", `the stream arrives with Cache-Control: ${value}`);
  const proxy = proxyOf(head);
  return look("cache_control", {
    seen: `${nameOf(proxy)} ${value ? `has changed the stream's Cache-Control to ${value}` : "has removed the stream's Cache-Control"}`,
    why: "The service sends no-cache, no-transform. Without them a cache on the way may hand one stream to two readers, and Next.js and others compress it.",
    fix: directive("cacheControl", proxy),
  });
}

function checkCompression(head: Head): Finding {
  const encoding = head.headers["content-encoding"] ?? "identity";
  if (encoding === "identity") return well("compression", "the stream is not compressed");
  const proxy = proxyOf(head);
  return look("compression", {
    seen: `${nameOf(proxy)} compresses the stream (Content-Encoding: ${encoding})`,
    why: "A compressor keeps small events until it has enough of them, unless it flushes each.",
    fix: directive("compression", proxy),
  });
}

/** Two streams that were opened at the same time are one: the second reader was given the first one's. */
export function checkSharing(one: Head, other: Head): Finding[] {
  const id = one.headers["x-request-id"];
  if (id === undefined || id !== other.headers["x-request-id"]) return [];
  const proxy = proxyOf(one);
  return [
    broken("shared_stream", {
      seen: `${nameOf(proxy)} hands one stream of the service to two readers: both have X-Request-Id ${id}`,
      why: "A cache does that where Cache-Control is missing or ignored. One user may read another's notifications.",
      fix: directive("caching", proxy),
    }),
  ];
}
