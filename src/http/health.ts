import type { RequestHandler } from "express";

export interface Health {
  isListening: () => boolean;
  isReading: () => boolean;
  isDraining: () => boolean;
}

/** `/livez`: the process answers. It asks nothing of the database: a restart would not mend that. */
export const livez: RequestHandler = (_req, res) => {
  res.json({ status: "ok" });
};

/** `/readyz`: send people here. 503 with what is wrong otherwise. */
export function readyz({ isListening, isReading, isDraining }: Health): RequestHandler {
  return (_req, res) => {
    const problems = [
      ...(isDraining() ? ["draining"] : []),
      ...(isListening() ? [] : ["the LISTEN connection does not hear its own probe"]),
      ...(isReading() ? [] : ["the database does not answer"]),
    ];
    const status = problems.length === 0 ? "ok" : "unavailable";
    res.status(problems.length === 0 ? 200 : 503).json({ status, problems });
  };
}
