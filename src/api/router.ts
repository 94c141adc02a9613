import cors from "cors";
import express, { type RequestHandler, type Router } from "express";
import { labelAnswer, notFound, Problem, problemHandler } from "../http/problem.ts";
import { cutUnreadBody, readJson } from "../http/read-json.ts";
import type { Logger } from "../logger.ts";
import { type Health, livez, readyz } from "./health.ts";
import { openApi } from "./openapi.ts";

export interface HttpOptions {
  version: string;
  health: () => Health;
  /** Whose pages may call from another origin. */
  allowedOrigins: readonly string[];
  /** How many proxies before us say truly who came to them (`X-Forwarded-For`). */
  trustedHops: number;
  identify: RequestHandler;
  stream: RequestHandler;
  poll: RequestHandler;
  issueTicket: RequestHandler;
  inbox: Router;
  /** The demo's page and routes, in embedded mode. */
  demo: Router | undefined;
  log: Logger;
}

const BASE = "/api/notifications";

/** Every route there is, in the order they are tried. */
export function createHttpApp(options: HttpOptions) {
  const { version, health, allowedOrigins, trustedHops, identify, demo, log } = options;
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("trust proxy", trustedHops);

  app.use(labelAnswer(version));
  app.use(requireHost, cutUnreadBody);
  if (trustedHops === 0) app.use(warnOfProxy(log));
  // Its page's visitors have no token of their own.
  if (demo) app.use(demo);
  // Early, for all that were lost with another instance come at once.
  app.use(BASE, crossOrigin(allowedOrigins));
  app.get(`${BASE}/stream`, options.stream);
  app.get("/livez", livez);
  app.get("/readyz", readyz(health));
  app.get("/openapi.json", describeApi(version));
  app.use(BASE, noStore, logRequest(log), identify, readJson);
  app.get(`${BASE}/poll`, options.poll);
  app.post(`${BASE}/tickets`, options.issueTicket);
  app.use(BASE, options.inbox);
  app.use(notFound);
  app.use(problemHandler(log));
  return app;
}

/** RFC 9112 §3.2. HTTP/1.0 has none. */
const requireHost: RequestHandler = (req, _res, next) => {
  if (req.headers.host === undefined && req.httpVersion !== "1.0")
    throw new Problem("request_malformed", "Send a Host header.");
  next();
};

function describeApi(version: string): RequestHandler {
  const document = JSON.stringify(openApi(version));
  return (_req, res) => {
    res.type("json").send(document);
  };
}

/**
 * Lets pages of these origins call, and answers what browsers ask before they do. Other pages get the answer they
 * would have got, and their browser keeps it from them. https://fetch.spec.whatwg.org/#http-cors-protocol
 */
const crossOrigin = (origins: readonly string[]): RequestHandler =>
  cors({
    origin: [...origins],
    credentials: true,
    methods: ["GET", "HEAD", "POST", "PUT", "PATCH"],
    // What SSE clients send that are no browser of today: eventsource-polyfill, react-native-sse.
    allowedHeaders: [
      "Authorization",
      "Cache-Control",
      "Content-Type",
      "Last-Event-ID",
      "X-Requested-With",
    ],
    exposedHeaders: ["Retry-After", "X-Request-Id", "X-Service-Version"],
    maxAge: 7200, // Chromium's limit
  });

/** Says once that somebody before us tells who came to them, and is not believed. */
function warnOfProxy(log: Logger): RequestHandler {
  let isSaid = false;
  return (req, _res, next) => {
    if (!isSaid && req.headers["x-forwarded-for"] !== undefined) {
      isSaid = true;
      log.warn(
        "requests carry X-Forwarded-For and TRUST_PROXY is 0: behind a proxy all clients count as one address",
      );
    }
    next();
  };
}

/** An inbox is nobody else's, and old at once. */
const noStore: RequestHandler = (_req, res, next) => {
  res.set("Cache-Control", "no-store");
  next();
};

/** One line a request when it is answered; a stream has its own two. */
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
