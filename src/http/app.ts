import express, { type RequestHandler, type Router } from "express";
import type { Logger } from "../logger.ts";
import { type Health, livez, readyz } from "./health.ts";
import { refuseCrossSite } from "./identify.ts";
import { notFound, problemHandler, requestId } from "./problem.ts";

export interface HttpOptions {
  version: string;
  health: () => Health;
  identify: RequestHandler;
  stream: RequestHandler;
  inbox: Router;
  /** The demo's page and routes, in embedded mode. */
  demo: Router | undefined;
  log: Logger;
}

/** Every route there is, in the order they are tried. */
export function createHttpApp(options: HttpOptions) {
  const { version, health, identify, stream, inbox, demo, log } = options;
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");

  app.use((_req, res, next) => {
    res.set("X-Service-Version", version);
    next();
  });
  app.use(requestId);
  app.get("/livez", livez);
  app.get("/readyz", readyz(health));
  if (demo) app.use(demo);
  app.get("/api/notifications/stream", stream);
  app.use("/api/notifications", refuseCrossSite, identify, noStore, logRequest(log), inbox);
  app.use(notFound);
  app.use(problemHandler(log));
  return app;
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
