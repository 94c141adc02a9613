import type { RequestHandler } from "express";

/** `/livez`: the process answers. It asks nothing of the database: a restart would not mend that. */
export const livez: RequestHandler = (_req, res) => {
  res.json({ status: "ok" });
};

/** What is wrong, each in a sentence for the operator. */
export interface Health {
  /** What keeps the service from its work. */
  problems: readonly string[];
  /** What does not, yet. */
  warnings: readonly string[];
}

/** `/readyz`: send people here, if there is no problem; else 503. */
export function readyz(examine: () => Health): RequestHandler {
  return (_req, res) => {
    const { problems, warnings } = examine();
    const isReady = problems.length === 0;
    const status = isReady ? "ok" : "unavailable";
    res.status(isReady ? 200 : 503).json({ status, problems, warnings });
  };
}
