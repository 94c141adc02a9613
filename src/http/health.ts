import type { RequestHandler } from "express";

/** `/livez`: the process answers. It asks nothing of the database: a restart would not mend that. */
export const livez: RequestHandler = (_req, res) => {
  res.json({ status: "ok" });
};

/** `/readyz`: send people here. 503 with what is wrong otherwise, each in a sentence. */
export function readyz(findProblems: () => readonly string[]): RequestHandler {
  return (_req, res) => {
    const problems = findProblems();
    const status = problems.length === 0 ? "ok" : "unavailable";
    res.status(problems.length === 0 ? 200 : 503).json({ status, problems });
  };
}
