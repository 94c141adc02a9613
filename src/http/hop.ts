import type { IncomingHttpHeaders } from "node:http";
import type { Request, RequestHandler } from "express";

/**
 * How a request arrived: what an operator compares with what the client sent, to find a proxy that drops a header, or a `TRUST_PROXY`
 * that is too low or too high. It has no secret: of the headers that may hold one it says only that they came.
 */
export interface Hop {
  /** RFC 3339. */
  readonly time: string;
  /** The id of the response, also in the log. */
  readonly requestId: string;
  /** The value of the header `Bellwire-Doctor`, by which a diagnosis finds its own request. */
  readonly doctor: string | null;
  readonly method: string;
  /** Without the query, and cut. */
  readonly path: string;
  readonly httpVersion: string;
  readonly host: string | null;
  /** Who opened the connection: the client, or the last proxy. */
  readonly socketAddress: string | null;
  /** How many addresses `X-Forwarded-For` had. The addresses are not kept, except for the client's. */
  readonly forwardedFor: number;
  /** Whom the service takes for the client, with `TRUST_PROXY`. */
  readonly clientAddress: string | null;
  readonly forwardedProto: string | null;
  readonly hasAuthorization: boolean;
  readonly hasCookie: boolean;
  readonly hasLastEventId: boolean;
  readonly userAgent: string | null;
}

export const DOCTOR_HEADER = "Bellwire-Doctor";

/** Long enough for `/api/notifications/<id>/…` and a browser's name, and too short for a token in the wrong place. */
const LONGEST = 60;

/** Tells `onRequest` of each request, before anything else can refuse it. */
export const reportHop =
  (onRequest: (hop: Hop) => void): RequestHandler =>
  (req, res, next) => {
    onRequest(describeHop(req, res.locals.requestId));
    next();
  };

function describeHop(req: Request, requestId: string): Hop {
  const { headers } = req;
  const forwardedFor = headers["x-forwarded-for"];
  return {
    time: new Date().toISOString(),
    requestId,
    doctor: doctorOf(headers),
    method: req.method,
    path: shorten(req.originalUrl.replace(/\?.*/s, "")) ?? "",
    httpVersion: req.httpVersion,
    host: shorten(headers.host),
    socketAddress: req.socket.remoteAddress ?? null,
    forwardedFor: forwardedFor === undefined ? 0 : String(forwardedFor).split(",").length,
    clientAddress: shorten(req.ip),
    forwardedProto: shorten(headers["x-forwarded-proto"]),
    hasAuthorization: headers.authorization !== undefined,
    hasCookie: headers.cookie !== undefined,
    hasLastEventId: headers["last-event-id"] !== undefined,
    userAgent: shorten(headers["user-agent"]),
  };
}

function doctorOf(headers: IncomingHttpHeaders): string | null {
  const value = headers["bellwire-doctor"];
  return typeof value === "string" && /^[A-Za-z0-9]{1,64}$/.test(value) ? value : null;
}

/** Clients choose these texts. They may be shown in a terminal, so only printable ASCII is kept. */
const shorten = (text: string | string[] | undefined): string | null =>
  text === undefined
    ? null
    : String(text)
        .slice(0, LONGEST)
        .replace(/[^ -~]/g, "?");
