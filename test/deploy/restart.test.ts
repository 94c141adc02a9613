import { expect, onTestFinished, test } from "vitest";
import { startServiceProcess } from "../faults/support/service-process.ts";
import { createDatabase } from "../support/database.ts";
import { openWatchers } from "./support/watchers.ts";

const STREAMS = 6;
/** Besides the time that the new process needs to listen: half a second, and several on a busy machine. */
const SILENCE_LIMIT_MS = 1000;

test("a stop and a start leave six streams without rows for a second longer than the start takes, at most", async () => {
  const { url: databaseUrl, close } = await createDatabase();
  onTestFinished(close);
  const service = await startServiceProcess({ databaseUrl });
  const { url, token } = service;
  const watchers = await openWatchers({ url, token, databaseUrl, count: STREAMS });
  const toldAt = performance.now();
  const { code, afterMs } = await service.restart();
  expect(code).toBe(0);
  const startMs = performance.now() - toldAt - afterMs;
  await watchers.hearAgain();
  const silenceMs = await watchers.finish();
  console.log(
    `silent for ${Math.round(silenceMs)} ms, of which ${Math.round(startMs)} are the start`,
  );
  expect(silenceMs - startMs).toBeLessThan(SILENCE_LIMIT_MS);
});
