#!/usr/bin/env bash
# A rewrite of Next.js to another server holds events back, or ends a stream that is quiet for 30 s.
#
# `rewrites` in next.config is the usual way to give an API server the origin of the page. An answer with `Content-Type: text/event-stream`
# that comes through it is compressed for each client that accepts gzip, as every browser does, and the compressor is not flushed: no event
# arrives before its window is full or the stream ends. `Cache-Control: no-transform` of the server prevents that. A route handler of Next.js
# itself does not need it. Besides, the rewrite ends each answer that is quiet for 30 s. A long-poll of 30 s gets the status 500; a
# stream is cut. `experimental.proxyTimeout` sets another time. And the server gets its own host as `Host`, not that of the page, so a
# comparison of `Origin` with `Host` refuses the page's own requests:
#
#   next 16.4.6 (npm), `next start`, Accept-Encoding: gzip, an event at once and another after 3 s:
#     route handler, no-cache: the first event at once
#     rewrite, no-cache: the first event with the last
#     rewrite, no-cache, no-transform: the first event at once
#     rewrite, quiet for 33 s: cut after 30 s
#     rewrite, no answer for 33 s: 500 after 30 s
#     rewrite, Host: the other server's
#
# A way that is right: send `Cache-Control: no-transform` and a comment or ping more often than every 30 s, let long-polls answer earlier, and
# in production let the proxy in front of Next.js forward these paths.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
echo "{}" >package.json
npm install next@16.4.6 react@19.3.1 react-dom@19.3.1 >npm.log
export NEXT_TELEMETRY_DISABLED=1
page=$((20000 + $$ % 10000))
export FAR=$((page + 10000))
mkdir -p app/own
cat >app/layout.js <<'JS'
export default ({ children }) => <html><body>{children}</body></html>;
JS
cat >app/own/route.js <<'JS'
export const dynamic = "force-dynamic";
export function GET() {
  const event = (name) => new TextEncoder().encode(`data: ${name}\n\n`);
  const body = new ReadableStream({
    start(to) {
      to.enqueue(event("first"));
      setTimeout(() => { to.enqueue(event("last")); to.close(); }, 3000);
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" } });
}
JS
cat >next.config.mjs <<'JS'
const destination = `http://127.0.0.1:${process.env.FAR}/:path*`;
export default { rewrites: async () => [{ source: "/far/:path*", destination }] };
JS
cat >far.mjs <<'JS'
import { createServer } from "node:http";
createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://far");
  if (pathname === "/host") return response.end(request.headers.host);
  const timer = setTimeout(() => response.end("data: last\n\n"), Number(searchParams.get("quiet")));
  response.on("close", () => clearTimeout(timer));
  if (pathname === "/late") return;
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": searchParams.get("cache") });
  response.write("data: first\n\n");
}).listen(Number(process.env.FAR), "127.0.0.1");
JS
cat >read.mjs <<'JS'
const base = `http://127.0.0.1:${process.argv[2]}`;
const headers = { "Accept-Encoding": "gzip" };
async function first(path) {
  const from = performance.now();
  const { body } = await fetch(base + path, { headers });
  const reader = body.getReader();
  await reader.read();
  await reader.cancel();
  return performance.now() - from < 1500 ? "at once" : "with the last";
}
async function end(path) {
  const from = performance.now();
  const response = await fetch(base + path, { headers });
  const how = await response.text().then(() => response.status, () => "cut");
  return `${how} after ${Math.floor((performance.now() - from) / 1000)} s`;
}
await fetch(`${base}/own`); // compiled and warm
console.log("route handler, no-cache: the first event", await first("/own"));
console.log("rewrite, no-cache: the first event", await first("/far/stream?quiet=3000&cache=no-cache"));
console.log("rewrite, no-cache, no-transform: the first event", await first("/far/stream?quiet=3000&cache=no-cache,no-transform"));
console.log("rewrite, quiet for 33 s:", await end("/far/stream?quiet=33000&cache=no-cache,no-transform"));
console.log("rewrite, no answer for 33 s:", await end("/far/late?quiet=33000"));
const host = await (await fetch(`${base}/far/host`)).text();
console.log("rewrite, Host:", host === `127.0.0.1:${process.env.FAR}` ? "the other server's" : host);
JS
node far.mjs &
node node_modules/next/dist/bin/next build >next.log 2>&1
node node_modules/next/dist/bin/next start -p "$page" >>next.log 2>&1 &
until curl -s -o /dev/null "http://127.0.0.1:$page/far/host"; do sleep 0.2; done
node read.mjs "$page" | tee seen
diff seen - <<'TEXT'
route handler, no-cache: the first event at once
rewrite, no-cache: the first event with the last
rewrite, no-cache, no-transform: the first event at once
rewrite, quiet for 33 s: cut after 30 s
rewrite, no answer for 33 s: 500 after 30 s
rewrite, Host: the other server's
TEXT
