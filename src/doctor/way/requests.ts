import { broken, type Finding, look, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { toObject } from "./events.ts";
import { isOurs, nameOf, proxyOf } from "./proxy.ts";
import { type Answer, isFailure } from "./request.ts";
import type { Site } from "./site.ts";

/** The methods of the API, with requests that change nothing: the service refuses the bodies, and there are no ids up to 0. */
const WRITES = [
  { method: "PATCH", path: "/0", body: '{"doctor":true}' },
  { method: "PUT", path: "/preferences", body: '{"doctor":true}' },
  { method: "POST", path: "/mark-all-seen", body: '{"before":"0"}' },
];

/** Whether writes reach the service. */
export async function checkWrites(site: Pick<Site, "ask">): Promise<Finding> {
  const answers = await Promise.all(
    WRITES.map(async ({ path, ...request }) => ({
      method: request.method,
      answer: await site.ask(path, request),
    })),
  );
  const blocked = answers.filter(({ answer }) => isFailure(answer) || !isOurs(answer));
  const [first] = blocked;
  if (!first) return well("writes", "PATCH, PUT and POST reach the service");
  const { answer } = first;
  const proxy = isFailure(answer) ? undefined : proxyOf(answer);
  return broken("writes", {
    seen: `${blocked.map(({ method }) => method).join(", ")} ${blocked.length > 1 ? "do" : "does"} not reach the service: ${isFailure(answer) ? answer.message : `${answer.status} from ${nameOf(proxy)}`}`,
    why: "The bell rings, but nothing can be marked as read or muted.",
    fix: directive("methods", proxy),
  });
}

/** Polls are the fallback where streams do not pass. */
export async function checkPoll(site: Pick<Site, "ask" | "askAsNobody">): Promise<Finding[]> {
  const one = await site.ask("/poll");
  if (isFailure(one)) return [];
  // nginx sends a response before it is in the cache, so the next request may be too early.
  for (let i = 0; i < 3; i++) {
    const other = await site.ask("/poll");
    if (isFailure(other)) return [];
    const cached = findCached(one, other);
    if (cached) return [cached];
  }
  if (!isOurs(one) || one.status !== 200 || toObject(one.body).cursor === undefined)
    return [
      look("poll", {
        seen: `/poll is not answered by the service: ${one.status} from ${nameOf(proxyOf(one))}`,
        why: "Where a network lets no stream pass, a bell polls.",
        fix: directive("route", proxyOf(one)),
      }),
    ];
  return [well("poll", "/poll answers, and each time anew")];
}

function findCached(one: Answer, other: Answer): Finding | undefined {
  const id = other.headers["x-request-id"];
  const isSame = id !== undefined && id === one.headers["x-request-id"];
  if (!isSame && !isHit(other)) return undefined;
  const proxy = proxyOf(other);
  return broken("cache", {
    seen: `${nameOf(proxy)} caches /poll: two requests got one response`,
    why: "Bells that poll see nothing new, and one user may get what another's request has left in the cache.",
    fix: directive("caching", proxy),
  });
}

const isHit = ({ headers }: Answer): boolean =>
  Number(headers.age ?? 0) > 0 ||
  ["x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status"].some((name) =>
    /^hit/i.test(String(headers[name] ?? "")),
  );

/** A request with a wrong token must be refused by the service. */
export async function checkStrangers(site: Pick<Site, "ask">): Promise<Finding[]> {
  const answer = await site.ask("/unread-count", { headers: { Authorization: "Bearer doctor" } });
  if (isFailure(answer) || answer.status === 401) return [];
  const proxy = proxyOf(answer);
  return [
    broken("strangers", {
      seen: `a request with a wrong token is answered with ${answer.status}`,
      why: `${nameOf(proxy)} answers it from a cache, or puts a token of its own into requests. Strangers can read notifications.`,
      fix: `${directive("caching", proxy)} And let it leave the request header Authorization as it is.`,
    }),
  ];
}
