import { broken, type Finding } from "../finding.ts";
import { directive } from "./directives.ts";
import { isOurs, nameOf, proxyOf } from "./proxy.ts";
import type { Head } from "./request.ts";
import type { EventStream } from "./stream.ts";

/** A stream that is refused for now begins with a ping and ends at once: any other status would end a browser's EventSource for good. */
const LIMIT_MS = 500;

/** The service, or a proxy for it, opens the stream only to say when to come again. Undefined if the stream goes on. */
export async function explainSoftRefusal(
  head: Head,
  stream: EventStream,
): Promise<Finding | undefined> {
  const first = await stream.hear(() => true, LIMIT_MS);
  if (first?.event !== "ping" || first.retry === undefined) return undefined;
  const proxy = proxyOf(head);
  if (!isOurs(head))
    return broken("proxy", {
      seen: `${nameOf(proxy)} answers the stream in the service's place: one ping, and "retry" in ${first.retry} ms`,
      why: "So it is set up for when the service does not answer it. Every bell is offline, and tries again.",
      fix: directive("upstream", proxy),
    });
  return broken("refused", {
    seen: `the service refuses streams for now: one ping, and "retry" in ${first.retry} ms`,
    why: "Its database does not answer, or a limit is reached (MAX_STREAMS, MAX_NEW_STREAMS_PER_SECOND).",
    fix: "Its /readyz and its log say which. For the database's side, with the service's DATABASE_URL: bellwire doctor",
  });
}
