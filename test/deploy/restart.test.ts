import { expect, onTestFinished, test } from "vitest";
import { startServiceProcess } from "../faults/support/service-process.ts";
import { createDatabase } from "../support/database.ts";
import { openWatchers } from "./support/watchers.ts";

const STREAMS = 6;
/** On a machine that does nothing else. */
const SILENCE_LIMIT_MS = 2000;

test("a stop and a start leave six streams without rows for two seconds at most", async () => {
  const { url: databaseUrl, close } = await createDatabase();
  onTestFinished(close);
  const service = await startServiceProcess({ databaseUrl });
  const { url, token } = service;
  const watchers = await openWatchers({ url, token, databaseUrl, count: STREAMS });
  expect(await service.restart()).toMatchObject({ code: 0 });
  await watchers.hearAgain();
  const silenceMs = await watchers.finish();
  console.log(`the longest silence was ${Math.round(silenceMs)} ms`);
  expect(silenceMs).toBeLessThanOrEqual(SILENCE_LIMIT_MS);
});
