import { parseCursor } from "../changes/cursor.ts";
import { type IncomingRequest, queryOf } from "../http/incoming-request.ts";
import type { FollowOptions } from "../hub/follow.ts";

/** URL parameters for the position, from polyfills and from clients that cannot send headers. */
const PARAMETERS = ["lastEventId", "last_event_id"];

/**
 * Reads the client's position. The header, which browsers send when they reconnect, overrides the URL, which is as old as the page.
 * In the URL the last one counts, because some clients append their position at each reconnect. An empty header is `unknown`: no
 * browser sends one, so the client had an id and lost it when its connection was cut.
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
