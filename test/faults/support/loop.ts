import { closeAfterTest } from "./close-after-test.ts";

/** Does a step again and again, in the background. `close` waits for the last step, and rejects if one has failed. */
export function startLoop(step: () => Promise<unknown>) {
  let isClosed = false;
  async function run() {
    while (!isClosed) await step();
  }
  const running = run();
  running.catch(() => {}); // `close` rejects
  async function close(): Promise<void> {
    isClosed = true;
    await running;
  }
  closeAfterTest(close);
  return { close };
}
