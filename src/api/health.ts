import type { RequestHandler } from "express";

/** `/livez`: the process answers. It does not check the database, because a restart would not repair that. */
export const livez: RequestHandler = (_req, res) => {
  res.json({ status: "ok" });
};

/** Each entry is one sentence for the operator. */
export interface Health {
  /** What stops the service from working. */
  problems: readonly string[];
  /** What a person should look at, while the service works. */
  warnings: readonly string[];
}

/** `/readyz`: 200 if the service can take traffic, otherwise 503. */
export function readyz(examine: () => Health): RequestHandler {
  return (_req, res) => {
    const { problems, warnings } = examine();
    const isReady = problems.length === 0;
    const status = isReady ? "ok" : "unavailable";
    res.status(isReady ? 200 : 503).json({ status, problems, warnings });
  };
}
