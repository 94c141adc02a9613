/** Event streams with Express, as they are usually written. */
import { createServer } from "node:http";
import express, { type Response } from "express";
import { listenAndTell } from "./listening.ts";

const streams = new Map<string, Response>();

const app = express();
app.get("/stream", (req, res) => {
  const recipient = String(req.query.recipient);
  res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  res.write("event: ready\ndata: {}\n\n");
  res.on("close", () => streams.delete(recipient));
  streams.set(recipient, res);
});
listenAndTell(createServer(app));
