import type { IncomingHttpHeaders } from "node:http";
import type { Request } from "express";

/** What authentication needs of a request: the same for an Express route and for an upgrade to another protocol. */
export interface IncomingRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Path and query, as sent. */
  readonly url: string;
  /** The client's IP address, as far as `TRUST_PROXY` lets proxies name it; undefined once the socket has closed. */
  readonly remoteAddress: string | undefined;
}

export const toIncomingRequest = (req: Request): IncomingRequest => ({
  method: req.method,
  headers: req.headers,
  url: req.originalUrl,
  remoteAddress: req.ip,
});

/** The parameters of the query, in their order. */
export function queryOf({ url }: Pick<IncomingRequest, "url">): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start === -1 ? "" : url.slice(start));
}
