import { broken, type Finding, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { isOurs, nameOf, proxyOf } from "./proxy.ts";
import { type Answer, isFailure } from "./request.ts";
import type { Site } from "./site.ts";

const NEEDED = ["authorization", "last-event-id", "content-type", "bellwire-recipient"];
const EXPOSED = ["retry-after", "bellwire-recipient"];
const WHY = "The browser keeps the response from the page, and the bell on that page is offline.";

export interface CorsOptions {
  site: Pick<Site, "api" | "ask" | "askAsNobody">;
  /** The page's, as the browser sends it. */
  origin: string;
  /** Of the service, where known. */
  allowedOrigins: readonly string[] | undefined;
}

/** As a browser does for a page of another origin: a preflight, which has no token, and then the request. */
export async function checkCors(options: CorsOptions): Promise<Finding[]> {
  const { site, origin } = options;
  if (origin === site.api.origin)
    return [
      well(
        "cors",
        `not needed for pages of ${origin}; to examine those of another origin, name it with --origin`,
      ),
    ];
  const [preflight, answer] = await Promise.all([
    site.askAsNobody("/stream", {
      method: "OPTIONS",
      headers: {
        Origin: origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": NEEDED.join(","),
      },
    }),
    site.ask("/unread-count", { headers: { Origin: origin } }),
  ]);
  if (isFailure(preflight) || isFailure(answer)) return [];
  const trouble = judgeOrigin(answer, options) ?? judgePreflight(preflight, origin);
  return [trouble ?? judgeExposed(answer)];
}

function judgeOrigin(answer: Answer, { origin, allowedOrigins }: CorsOptions): Finding | undefined {
  const allowed = valuesOf(answer, "access-control-allow-origin");
  const proxy = proxyOf(answer);
  const name = nameOf(proxy);
  if (allowed.length > 1)
    return broken("cors", {
      seen: `Access-Control-Allow-Origin comes twice: ${allowed.join(" and ")}; ${name} adds its own to the service's`,
      why: WHY,
      fix: directive("cors", proxy),
    });
  if (allowed[0] === undefined) return notAllowed(answer, origin, allowedOrigins);
  if (allowed[0] !== origin)
    return broken("cors", {
      seen: `Access-Control-Allow-Origin is ${allowed[0]} for ${origin}; ${name} writes it, not the service`,
      why: `${WHY} With credentials a browser wants exactly the page's origin.`,
      fix: `${directive("cors", proxy)} Then: ALLOWED_ORIGINS=${origin} for the service.`,
    });
  if (valuesOf(answer, "access-control-allow-credentials")[0] === "true") return undefined;
  return broken("cors", {
    seen: `Access-Control-Allow-Credentials is missing; ${name} writes the CORS headers, not the service`,
    why: `${WHY} The bell sends credentials.`,
    fix: directive("cors", proxy),
  });
}

function notAllowed(
  answer: Answer,
  origin: string,
  allowedOrigins: readonly string[] | undefined,
): Finding {
  const proxy = proxyOf(answer);
  if (allowedOrigins?.includes(origin))
    return broken("cors", {
      seen: `ALLOWED_ORIGINS has ${origin}, and the response has no Access-Control-Allow-Origin: ${nameOf(proxy)} drops it, or the request header Origin`,
      why: WHY,
      fix: `Let the proxy pass Origin on (in nginx: no proxy_set_header Origin), and the response's Access-Control-… headers.`,
    });
  const now = allowedOrigins
    ? `It is ${allowedOrigins.join(",") || "empty"} now.`
    : "If it is set, the proxy drops the request header Origin.";
  return broken("cors", {
    seen: `the service does not allow ${origin}: no Access-Control-Allow-Origin`,
    why: WHY,
    fix: `ALLOWED_ORIGINS=${[...(allowedOrigins ?? []), origin].join(",")} for the service, exactly as the browser sends it, and restart it. ${now}`,
  });
}

function judgePreflight(preflight: Answer, origin: string): Finding | undefined {
  const proxy = proxyOf(preflight);
  const headers = listOf(preflight, "access-control-allow-headers");
  const methods = listOf(preflight, "access-control-allow-methods");
  const lacking = NEEDED.filter((name) => !headers.includes(name));
  const refused = ["patch", "put", "post"].filter((name) => !methods.includes(name));
  const isAllowed = valuesOf(preflight, "access-control-allow-origin").join() === origin;
  if (preflight.status < 300 && isAllowed && lacking.length + refused.length === 0)
    return undefined;
  const lacks = [
    ...(preflight.status < 300 ? [] : [`status ${preflight.status}`]),
    ...(isAllowed ? [] : ["the origin is not allowed"]),
    ...(lacking.length ? [`Access-Control-Allow-Headers lacks ${lacking.join(", ")}`] : []),
    ...(refused.length
      ? [`Access-Control-Allow-Methods lacks ${refused.join(", ").toUpperCase()}`]
      : []),
  ];
  const who = isOurs(preflight)
    ? "the preflight (OPTIONS) is not as the service sends it"
    : `${nameOf(proxy)} answers the preflight (OPTIONS), not the service`;
  return broken("preflight", {
    seen: `${who}: ${lacks.join("; ")}`,
    why: "The browser then does not send the request itself.",
    fix: directive("cors", proxy),
  });
}

function judgeExposed(answer: Answer): Finding {
  const exposed = listOf(answer, "access-control-expose-headers");
  const lacking = EXPOSED.filter((name) => !exposed.includes(name));
  if (lacking.length === 0)
    return well("cors", "the page's origin is allowed, and the preflight says so");
  const proxy = proxyOf(answer);
  return broken("cors", {
    seen: `${nameOf(proxy)} has changed Access-Control-Expose-Headers: it lacks ${lacking.join(", ")}`,
    why: "The bell cannot read these headers, and so does not notice another user's login, or when to retry.",
    fix: directive("cors", proxy),
  });
}

/** Of all headers with this name. */
const valuesOf = ({ rawHeaders }: Answer, name: string): string[] =>
  rawHeaders.flatMap((value, i) =>
    i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name ? value.split(/, */) : [],
  );

const listOf = (answer: Answer, name: string): string[] =>
  valuesOf(answer, name).map((value) => value.toLowerCase());
