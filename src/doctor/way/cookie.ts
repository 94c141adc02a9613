import { broken, type Finding, well } from "../finding.ts";
import { directive } from "./directives.ts";
import { toObject } from "./events.ts";
import { nameOf, proxyOf } from "./proxy.ts";
import { type Answer, isFailure } from "./request.ts";
import type { Site } from "./site.ts";

export interface CookieOptions {
  site: Pick<Site, "api" | "askAsNobody">;
  /** The cookie's name, JWT_COOKIE. */
  name: string;
  token: string;
  /** The page's. */
  origin: string;
}

/** The token as a cookie: a read, and a write as the page at this origin sends it. The write changes nothing. */
export async function checkCookie({ site, name, token, origin }: CookieOptions): Promise<Finding> {
  const headers = { Cookie: `${name}=${token}` };
  const [read, write] = await Promise.all([
    site.askAsNobody("/unread-count", { headers }),
    site.askAsNobody("/mark-all-seen", {
      method: "POST",
      body: '{"before":"0"}',
      headers: { ...headers, Origin: origin },
    }),
  ]);
  if (isFailure(read) || isFailure(write))
    return well("cookie", "not examined, because a request got no response");
  const failed = read.status === 200 ? write : read;
  if (failed.status === 200)
    return well("cookie", `the cookie ${name} is accepted, and a write of a page at ${origin} too`);
  return explain(failed, name, origin, site.api);
}

function explain(answer: Answer, name: string, origin: string, { host }: URL): Finding {
  const proxy = proxyOf(answer);
  const { code = answer.status, detail = "" } = toObject(answer.body);
  if (code === "token_missing")
    return broken("cookie", {
      seen: `the cookie ${name} is lost on the way: 401 token_missing. ${detail}`,
      why: `${nameOf(proxy)} drops it, or the running service has another JWT_COOKIE. Pages that use cookies are signed out.`,
      fix: `${directive("cookie", proxy)} Else set JWT_COOKIE=${name} for the service and restart it.`,
    });
  if (code === "origin_refused" && new URL(origin).host === host)
    return broken("cookie", {
      seen: `a write of a page at ${origin} is refused as another site's: 403 origin_refused`,
      why: `${nameOf(proxy)} replaces the request header Host, so the page's origin looks foreign.`,
      fix: directive("host", proxy),
    });
  if (code === "origin_refused")
    return broken("cookie", {
      seen: `a write of a page at ${origin} is refused: 403 origin_refused`,
      why: "With a cookie, only pages of the service's own host and of ALLOWED_ORIGINS may write.",
      fix: `ALLOWED_ORIGINS=${origin} for the service. The cookie must also be sent there: SameSite=Lax within one site, SameSite=None; Secure between two.`,
    });
  return broken("cookie", {
    seen: `the token as the cookie ${name} is refused: ${answer.status} ${code}. ${detail}`,
    why: "The same token is accepted as a header.",
    fix: "Compare JWT_COOKIE with the running service's, and its log for this request.",
  });
}
