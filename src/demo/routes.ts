import { fileURLToPath } from "node:url";
import express from "express";
import { z } from "zod";
import { parse } from "../http/parse.ts";
import { Problem } from "../http/problem.ts";
import type { Demo, DemoAct } from "./marketplace.ts";

const PAGE = fileURLToPath(new URL("page/", import.meta.url));

// 18 digits always fit a bigint.
const Id = z.string().regex(/^[1-9]\d{0,17}$/, "Expected an id: digits, as a string");
// PostgreSQL's text cannot contain U+0000.
const Text = z
  .string()
  .trim()
  .min(1)
  .max(2000)
  .refine((value) => !value.includes("\0"), "U+0000 cannot be stored");
const Price = z.int().min(1).max(1_000_000);
const actorId = Id;

const Message = z
  .strictObject({
    act: z.literal("message"),
    actorId,
    recipientId: Id,
    taskId: Id.optional(),
    body: Text.optional(),
    fileName: Text.optional(),
  })
  .refine((value) => value.body ?? value.fileName, "A message has a body, a file, or both");

const Act: z.ZodType<DemoAct> = z.discriminatedUnion("act", [
  Message,
  z.strictObject({ act: z.literal("respond"), actorId, taskId: Id, message: Text, price: Price }),
  z.strictObject({
    act: z.enum(["acceptResponse", "rejectResponse", "acceptHire", "rejectHire"]),
    actorId,
    id: Id,
  }),
  z.strictObject({ act: z.literal("hire"), actorId, executorId: Id, taskId: Id, message: Text }),
  z.strictObject({
    act: z.literal("review"),
    actorId,
    taskId: Id,
    recipientId: Id,
    rating: z.int().min(1).max(5),
    comment: Text,
  }),
  z.strictObject({ act: z.literal("postTask"), actorId, title: Text, price: Price }),
  z.strictObject({ act: z.enum(["completeTask", "cancelTask"]), actorId, taskId: Id }),
]);

type Options = {
  demo: Demo;
  mintToken: (recipientId: string) => Promise<string>;
};

/**
 * The demo: the page at `/`, and the marketplace that it writes to. Mount it at the root, before the API. Only for embedded
 * mode, because anybody who reaches the demo can act as any user.
 */
export function demoRoutes({ demo, mintToken }: Options): express.Router {
  const router = express.Router();

  // `/demo/as/2/api/notifications/…` is the API for user 2, so that each tab can have its own user. (A cookie would give all tabs
  // the same user.) The handler is not mounted on a path, because Express would put that path back in front of the new URL.
  router.use(async (req, _res, next) => {
    const [, id, url] = /^\/demo\/as\/([1-9]\d{0,17})(\/api\/notifications.*)$/.exec(req.url) ?? [];
    if (id && url) {
      req.headers.authorization = `Bearer ${await mintToken(id)}`;
      req.url = url;
    }
    next();
  });

  // `cacheControl: false`, because setHeaders sets that header.
  const asPage = { index: false, cacheControl: false, setHeaders: setPageHeaders } as const;
  router.use("/demo/page", express.static(PAGE, asPage));
  router.get("/", (_req, res) => {
    setPageHeaders(res);
    res.sendFile("index.html", { root: PAGE, cacheControl: false });
  });

  router.get("/demo/users", async (_req, res) => {
    res.json(await demo.listUsers());
  });

  router.get("/demo/state", async (req, res) => {
    const userId = parse(Id, req.query.user);
    const state = await demo.readState(userId);
    if (!state) throw new Problem("user_unknown", `There is no user ${userId}.`);
    res.json(state);
  });

  router.post("/demo/acts", express.json({ limit: "16kb" }), async (req, res) => {
    const sql = await demo.perform(parse(Act, req.body));
    if (sql === undefined)
      throw new Problem(
        "act_not_possible",
        "The marketplace does not allow this, or no longer allows it.",
      );
    res.json({ sql });
  });

  return router;
}

/** The page loads everything from this origin, and no text of a notification can run as script. */
function setPageHeaders(res: express.Response) {
  res.setHeader(
    "Content-Security-Policy",
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  res.setHeader("Referrer-Policy", "no-referrer");
  res.setHeader("X-Content-Type-Options", "nosniff");
  res.setHeader("Cache-Control", "no-cache");
}
