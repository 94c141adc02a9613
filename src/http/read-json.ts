import { json, type RequestHandler } from "express";
import { Problem } from "./problem.ts";

const parseJson = json({ limit: "16kb" });

/** Reads a body of JSON, of up to 16 KB. Throws Problem `body_not_json` for one that is declared as something else. */
export const readJson: RequestHandler = (req, res, next) => {
  // What a browser sends with an empty POST.
  const isEmpty = req.get("content-length") === "0";
  if (!isEmpty && req.is("application/json") === false)
    throw new Problem("body_not_json", "Send Content-Type: application/json.");
  parseJson(req, res, next);
};
