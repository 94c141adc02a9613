import { onTestFinished, TestRunner } from "vitest";

/** Closes it at the end of the current test. In a hook this does nothing: there the caller closes what several tests share. */
export function closeAfterTest(close: () => Promise<void>): void {
  if (TestRunner.getCurrentTest()) onTestFinished(close, 60_000);
}
