import { broken, type Finding, well } from "../finding.ts";
import { plural } from "../plural.ts";
import type { Canary } from "./canary.ts";
import { isRow, toSeconds } from "./delivery.ts";
import { directive } from "./directives.ts";
import { nameOf, type ProxyName } from "./proxy.ts";
import type { Site } from "./site.ts";
import type { EventStream } from "./stream.ts";

const LIMIT_MS = 4000;
const WHY_LOST =
  "What is written while a bell is away, for a second or overnight, is never shown without a reload.";

export interface ResumeOptions {
  site: Pick<Site, "open">;
  proxy: ProxyName | undefined;
}

/** A position that the service does not know: its `ready` says so if the header arrived. It writes nothing. */
export async function checkLastEventId({ site, proxy }: ResumeOptions): Promise<Finding> {
  const stream = site.open("browser", { "Last-Event-ID": "doctor" });
  try {
    const ready = await stream.hear(({ event }) => event === "ready", LIMIT_MS);
    if (!ready || ready.data.cursor === "unknown")
      return well("last_event_id", "a stream that resumes has its Last-Event-ID when it arrives");
    return broken("last_event_id", {
      seen: `the request header Last-Event-ID is lost on the way: ${nameOf(proxy)} drops it`,
      why: WHY_LOST,
      fix: directive("resume", proxy),
    });
  } finally {
    stream.close();
  }
}

/** Cuts the stream, writes a row, and resumes: the row must come, once, and nothing that was there before. */
export async function checkResume(
  { site, proxy }: ResumeOptions,
  stream: EventStream,
  canary: Canary,
): Promise<Finding[]> {
  const position = stream.lastId();
  if (position === undefined) return [];
  stream.close();
  const missed = await canary.write();
  const resumed = site.open("browser", { "Last-Event-ID": position });
  try {
    if (!missed) return [];
    const came = await resumed.hear(isRow(missed.id), LIMIT_MS);
    if (!came) return [lost(proxy)];
    // What follows shows that nothing more comes of what was missed.
    const next = await canary.write();
    if (next) await resumed.hear(isRow(next.id), LIMIT_MS);
    const rows = resumed.heard.filter(({ event }) => event === "notification");
    const repeated = rows.filter(({ data }) => data.id !== next?.id && data.id !== missed.id);
    const times = resumed.heard.filter(isRow(missed.id)).length;
    if (times === 1 && repeated.length === 0)
      return [well("resume", "a row that was written while the stream was cut came once")];
    return [broken("resume", again(times, repeated.length))];
  } finally {
    resumed.close();
  }
}

const lost = (proxy: ProxyName | undefined): Finding =>
  broken("resume", {
    seen: `the stream was cut and resumed, and a row of the meantime did not come in ${toSeconds(LIMIT_MS)}`,
    why: WHY_LOST,
    fix: directive("resume", proxy),
  });

const again = (times: number, repeated: number) => ({
  seen: `the stream was cut and resumed: the row of the meantime came ${times === 1 ? "once" : `${times} times`}, and ${plural(repeated, "row")} from before the cut came again`,
  why: "Something on the way sends again what it has kept of an earlier stream.",
  fix: directive("caching", undefined),
});
