import { onTestFinished, TestRunner } from "vitest";

/** Closes it when the current test ends. In a hook this does nothing: the hook's file closes what its tests share. */
export function closeAfterTest(close: () => Promise<void>): void {
  if (TestRunner.getCurrentTest()) onTestFinished(close, 60_000);
}
