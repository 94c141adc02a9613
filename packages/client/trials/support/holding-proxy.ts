import { passOn, startServer } from "../../../../test/browser/support/reverse-proxy.ts";

/**
 * What the proxy keeps of a stream: nothing; all of it, with the response's head; all of it until it ends; the last event until
 * the next one comes, as some virus scanners do; or all of it, and of polls that wait.
 */
export type Hold =
  | "nothing"
  | "all"
  | "until it ends"
  | "the last event"
  | "all, and waiting polls";

/** A proxy that buffers too much. */
export async function startHoldingProxy(target: string, hold: Hold = "nothing") {
  const { port, cut } = await startServer((req, res) => {
    const isWaitingPoll = /[?&]wait=[1-9]/.test(req.url ?? "");
    passOn(req, res, target, (answer) => {
      const isStream = answer.headers["content-type"]?.startsWith("text/event-stream");
      const now = (): Hold => {
        const holdsPolls = hold === "all, and waiting polls" && isWaitingPoll;
        return isStream || holdsPolls ? hold : "nothing";
      };
      const held: Buffer[] = [];
      function handOn(count = held.length): void {
        if (!res.headersSent) res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        res.flushHeaders();
        for (const chunk of held.splice(0, count)) res.write(chunk);
      }
      answer.on("data", (chunk) => {
        held.push(chunk);
        if (now() === "nothing") handOn();
        if (now() === "the last event") handOn(held.length - 1);
      });
      answer.on("end", () => {
        if (now().startsWith("all")) return;
        handOn();
        res.end();
      });
      answer.on("error", () => res.destroy());
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    /** From now on, also for open streams. */
    change(next: Hold) {
      hold = next;
    },
    cut,
  };
}
