import cors from "cors";
import express, { type RequestHandler, type Router } from "express";
import { describeForeign } from "../http/auth/csrf.ts";
import { RECIPIENT_HEADER } from "../http/auth/identify.ts";
import { type Hop, reportHop } from "../http/hop.ts";
import { labelResponse, notFound, Problem, problemHandler } from "../http/problem.ts";
import { cutUnreadBody, readJson } from "../http/read-json.ts";
import { createReportRefusal, type ReportRefusal } from "../http/refusals.ts";
import type { Logger } from "../logger.ts";
import { type Health, livez, readyz } from "./health.ts";
import { openApi } from "./openapi.ts";

export interface HttpOptions {
  version: string;
  health: () => Health;
  onRequest: (hop: Hop) => void;
  /** Other origins whose pages may call. */
  allowedOrigins: readonly string[];
  /** How many proxies in front of the service set `X-Forwarded-For` truthfully. */
  trustedHops: number;
  identify: RequestHandler;
  /** The routes that open connections, by path. Each asks the admission itself. */
  transports: Readonly<Record<string, RequestHandler>>;
  poll: RequestHandler;
  issueTicket: RequestHandler;
  inbox: Router;
  /** The demo's page and routes, in embedded mode. */
  demo: Router | undefined;
  /** `/bellwire.js`, which pages load. */
  script: Router;
  log: Logger;
}

const BASE = "/api/notifications";

/** All routes, in the order in which Express tries them. */
export function createHttpApp(options: HttpOptions) {
  const { version, health, allowedOrigins, trustedHops, identify, demo, log } = options;
  const report = createReportRefusal(log);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("trust proxy", trustedHops);

  app.use(labelResponse(version));
  app.use(requireHost, cutUnreadBody);
  if (trustedHops === 0) app.use(warnOfProxy(log));
  // Before authentication, because visitors of the demo have no token.
  if (demo) app.use(demo);
  app.use(BASE, reportHop(options.onRequest));
  // Streams early: after the loss of another instance, all its streams reconnect here at once.
  app.use(BASE, reportForeign(allowedOrigins, report), crossOrigin(allowedOrigins));
  for (const [path, route] of Object.entries(options.transports)) app.get(`${BASE}${path}`, route);
  app.get("/livez", livez);
  app.get("/readyz", readyz(health));
  app.get("/openapi.json", describeApi(version));
  app.use(options.script);
  app.use(BASE, noStore, logRequest(log), identify, readJson);
  app.get(`${BASE}/poll`, options.poll);
  app.post(`${BASE}/tickets`, options.issueTicket);
  app.use(BASE, options.inbox);
  app.use(notFound);
  app.use(problemHandler(log, report));
  return app;
}

/** RFC 9112 §3.2. HTTP/1.0 has no Host header. */
const requireHost: RequestHandler = (req, _res, next) => {
  if (req.headers.host === undefined && req.httpVersion !== "1.0")
    throw new Problem("request_malformed", "Send a Host header.");
  next();
};

/** Makes the document at the first request, because it would take a good part of the service's start. */
function describeApi(version: string): RequestHandler {
  let document: string | undefined;
  return (_req, res) => {
    document ??= JSON.stringify(openApi(version));
    res.type("json").send(document);
  };
}

/**
 * CORS: allows these origins and answers preflights. A page of another origin gets the same response without the headers, so its
 * browser does not let the page read it. https://fetch.spec.whatwg.org/#http-cors-protocol
 */
const crossOrigin = (origins: readonly string[]): RequestHandler =>
  cors({
    origin: [...origins],
    credentials: true,
    methods: ["GET", "HEAD", "POST", "PUT", "PATCH"],
    // Cache-Control and X-Requested-With are sent by eventsource-polyfill and react-native-sse.
    allowedHeaders: [
      "Authorization",
      RECIPIENT_HEADER,
      "Cache-Control",
      "Content-Type",
      "Last-Event-ID",
      "X-Requested-With",
    ],
    exposedHeaders: ["Retry-After", RECIPIENT_HEADER, "X-Request-Id", "X-Service-Version"],
    maxAge: 7200, // Chromium's limit
  });

/** The service answers a page of a foreign origin; only its browser keeps the answer from it, and tells nobody but the visitor. */
const reportForeign =
  (origins: readonly string[], report: ReportRefusal): RequestHandler =>
  ({ headers }, res, next) => {
    const reason = describeForeign(headers, origins);
    if (reason) report(reason, res.locals.requestId);
    next();
  };

/** Logs once that requests have X-Forwarded-For although no proxy is trusted. */
function warnOfProxy(log: Logger): RequestHandler {
  let isSaid = false;
  return (req, _res, next) => {
    if (!isSaid && req.headers["x-forwarded-for"] !== undefined) {
      isSaid = true;
      log.warn(
        "requests have X-Forwarded-For, but TRUST_PROXY is 0: behind a proxy all clients count as one IP address",
      );
    }
    next();
  };
}

/** An inbox is private and changes at any time. */
const noStore: RequestHandler = (_req, res, next) => {
  res.set("Cache-Control", "no-store");
  next();
};

/** Logs one line per answered request. A stream logs its own opening and closing. */
function logRequest(log: Logger): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now();
    res.on("finish", () => {
      const { requestId } = res.locals;
      const ms = Math.round(performance.now() - startedAt);
      log.info({ requestId, method: req.method, status: res.statusCode, ms }, "answered");
    });
    next();
  };
}
