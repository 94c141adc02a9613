import { onTestFinished, TestRunner } from "vitest";

/** Closes it when the test that runs ends. What is opened in a hook, for several tests, its opener closes. */
export function closeAfterTest(close: () => Promise<void>): void {
  if (TestRunner.getCurrentTest()) onTestFinished(close, 60_000);
}
