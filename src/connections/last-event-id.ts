import { parseCursor } from "../changes/cursor.ts";
import { type IncomingRequest, queryOf } from "../http/incoming-request.ts";
import type { FollowOptions } from "../hub/follow.ts";

/** What polyfills and clients without headers put the position into. */
const PARAMETERS = ["lastEventId", "last_event_id"];

/**
 * Where the client stands. The header, which browsers send by themselves, wins over the URL, which is as old as the page. In the
 * URL the last one counts, for some clients append their position each time they reconnect. No browser sends an
 * empty header: a client that does had an id, of which a cut has left nothing.
 */
export function readLastEventId(
  request: Pick<IncomingRequest, "headers" | "url">,
): FollowOptions["since"] {
  const header = request.headers["last-event-id"];
  const value = header?.toString() || lastInUrl(request);
  if (value) return parseCursor(value) ?? "unknown";
  return header === undefined ? "now" : "unknown";
}

const lastInUrl = (request: Pick<IncomingRequest, "url">): string | undefined =>
  [...queryOf(request)].findLast(([name, value]) => PARAMETERS.includes(name) && value !== "")?.[1];
