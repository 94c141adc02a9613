import { gzipSync } from "node:zlib";
import { CANARY } from "./samples.ts";

export const CONTENT_TYPES = [
  "application/json; charset=utf-8",
  "application/json; charset=UTF-16",
  "application/json; charset=latin1",
  `application/json; charset=${CANARY}`,
  'application/json; charset="',
  "application/json;;;=",
  "APPLICATION/JSON",
  "application/problem+json",
  "application/json, text/plain",
  "application/x-www-form-urlencoded",
  `multipart/form-data; boundary=${CANARY}`,
  "text/plain",
  `text/${CANARY}`,
  "*/*",
  "json",
  "",
  "\xff",
];

const gzipped = (text: string) => gzipSync(Buffer.from(text, "latin1")).toString("latin1");

/** `Content-Encoding`, and how it encodes the body. */
export const ENCODINGS: [name: string, encode: (body: string) => string][] = [
  ["gzip", gzipped],
  ["gzip", (body) => body],
  ["gzip", (body) => gzipped(body).slice(0, -5)],
  ["gzip", () => gzipped("[".repeat(1_000_000))],
  ["gzip, gzip", (body) => gzipped(gzipped(body))],
  ["deflate", (body) => body],
  ["br", (body) => body],
  ["identity", (body) => body],
  ["zstd", (body) => body],
  [CANARY, (body) => body],
  ["", (body) => body],
];

/** The lines of a header, sent unchanged; mostly `name: value`. */
export const HEADERS = [
  `X-Canary: ${CANARY}`,
  `Accept: ${CANARY}`,
  "Accept: text/html",
  "Accept-Encoding: gzip, br",
  `Accept-Language: ${CANARY}`,
  // The log names a refused origin, of a Referer too, but not its path.
  "Origin: https://stranger.example",
  "Origin: null",
  `Referer: https://stranger.example/${CANARY}`,
  `User-Agent: ${CANARY}\xff`,
  "Range: bytes=0-1",
  "If-None-Match: *",
  "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT",
  "X-HTTP-Method-Override: DELETE",
  `X-Forwarded-For: ${CANARY}`,
  `X-Forwarded-Host: ${CANARY}`,
  `X-Request-Id: ${CANARY}`,
  `Forwarded: for="${CANARY}"`,
  "Access-Control-Request-Method: DELETE",
  `Access-Control-Request-Headers: ${CANARY}`,
  "Connection: close",
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA",
  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA",
  "Expect: 100-continue",
  `Expect: ${CANARY}`,
  "TE: trailers",
  `Trailer: ${CANARY}`,
  `Host: ${CANARY}`,
  `Last-Event-ID: ${CANARY}`,
  "Last-Event-ID: \xff\xfe\xed\xa0\x80",
  `Last-Event-ID: ${"9".repeat(5000)}`,
  "Last-Event-ID: v1.00000000.zzzzzzzzzzzz._",
  `Cookie: ${CANARY}=%E0%A4%A; session=${CANARY}`,
  "Cookie: session=%00; session=%ff; =; ;;",
  `Cookie: ${"a=b; ".repeat(1000)}`,
  "Sec-Fetch-Site: cross-site",
  "__proto__: 1",
  "constructor: 1",
  "X-Empty:",
  // From here on it is not valid HTTP.
  `X ${CANARY}: 1`,
  ": nameless",
  "no colon at all",
  `X-Folded: 1\r\n ${CANARY}`,
  `X-Nul: ${CANARY}\0`,
  `X-Bare: 1\n${CANARY}`,
  `X-Long: ${CANARY.repeat(3000)}`,
  "X-Many: 1\r\n".repeat(1500).slice(0, -2),
];

/** Headers that must not authenticate anybody. */
export const CREDENTIALS = [
  "Authorization:",
  "Authorization: Bearer",
  "Authorization: Bearer  ",
  `Authorization: Bearer ${CANARY}`,
  `Authorization: Bearer ${CANARY}.${CANARY}.${CANARY}`,
  `Authorization: Bearer ${Buffer.from('{"alg":"none"}').toString("base64url")}.${CANARY}.`,
  `Authorization: Bearer ${"a".repeat(9000)}`,
  "Authorization: Bearer \xff\xfe",
  `Authorization: Basic ${CANARY}`,
  `Authorization: ${CANARY}`,
  `Cookie: session=${CANARY}`,
  "Cookie: session=",
  "Cookie: session=%E0%A4%A",
];

export const QUERY_JUNK = [
  ...["", "&", "=", "%", "%ff%fe", "?", CANARY, "\xff", " "],
  "a=b&".repeat(1500),
];

export const METHODS = [
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"],
  ...["get", CANARY.toUpperCase(), "G\xffT", "", "G ET", "M-SEARCH", "QUERY", "PRI"],
];

export const VERSIONS = [
  " HTTP/1.0",
  " HTTP/2.0",
  " HTTP/0.9",
  " HTTP/9.9",
  " http/1.1",
  ` ${CANARY}`,
  " HTTP/1.1 ",
  "",
];

/** Changes to a documented path. */
export const DETOURS: ((path: string) => string)[] = [
  (path) => `${path}/`,
  (path) => `${path}//`,
  (path) => `/${path}`,
  (path) => path.toUpperCase(),
  (path) => `${path}/${CANARY}`,
  (path) => `${path}/1`,
  (path) => `${path}%`,
  (path) => `${path}%2f`,
  (path) => `${path}/%00`,
  (path) => `${path}/%ff`,
  (path) => `${path}/\xff`,
  (path) => `${path}/\0`,
  (path) => `${path}/%ED%A0%80`,
  (path) => `${path};${CANARY}`,
  (path) => `${path}#${CANARY}`,
  (path) => `/.${path}`,
  (path) => `/..%2f..${path}`,
  (path) => `${path}/../livez`,
  (path) => path.replaceAll("/", "\\"),
  (path) => `/demo/as/1${path}`,
  (path) => `http://${CANARY}${path}`,
  (path) => `http://[::1${path}`,
  (path) => `//${CANARY}${path}`,
  (path) => path.slice(1),
  (path) => `${path}/${"a".repeat(10_000)}`,
  (path) => `${path}/${"a".repeat(17_000)}`,
  (path) => path.slice(0, -1),
  () => "*",
  () => "",
  () => "/",
  () => `/${CANARY}`,
  ...["__proto__", "constructor"].map((name) => (path: string) => `${path}/${name}`),
];
