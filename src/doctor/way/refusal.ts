import { broken, type Finding } from "../finding.ts";
import { directive } from "./directives.ts";
import { toObject } from "./events.ts";
import { nameOf, proxyOf } from "./proxy.ts";
import type { Answer } from "./request.ts";
import type { Given } from "./token.ts";

/** The service itself refused: with its code and detail, and what to do about it. */
export function explainRefusal(answer: Answer, given: Given, url: URL): Finding {
  const problem = toObject(answer.body);
  const code = String(problem.code ?? answer.status);
  const seen = `the service answers ${answer.status} ${code}: ${problem.detail ?? "without a reason"}`;
  const proxy = proxyOf(answer);
  switch (code) {
    case "token_missing":
      return broken("authorization", {
        seen: `the request header Authorization is lost on the way: ${seen}`,
        why: `The token was sent, and ${nameOf(proxy)} drops it. No bell that sends a token gets in.`,
        fix: directive("authorization", proxy),
      });
    case "token_invalid":
      return broken("token", {
        seen,
        why: "With such a token no bell gets in.",
        fix: given.explain(answer),
      });
    case "too_many_streams":
      return broken("too_many_streams", {
        seen,
        why: "This recipient's places are all taken: by open tabs, or by a proxy that does not tell that clients have left.",
        fix: "Close other tabs and clients of this recipient, or use --recipient with another one. If it stays so, raise MAX_STREAMS_PER_RECIPIENT.",
      });
    case "route_unknown":
      return broken("route", {
        seen: `${url.pathname} reaches the service under another path: ${seen}`,
        why: "The proxy cuts or changes the path, so the service has no such route.",
        fix: directive("route", proxy),
      });
    case "unavailable":
    case "keys_unavailable":
      return broken("refused", {
        seen,
        why: "The service runs, and what it needs does not answer it: every bell waits.",
        fix:
          code === "unavailable"
            ? "Examine the database's side, with the service's DATABASE_URL: bellwire doctor"
            : "See from the service's machine whether JWT_JWKS_URL answers: curl -sS $JWT_JWKS_URL",
      });
    default:
      return broken("refused", {
        seen,
        why: "The service got the request and refuses it.",
        fix: `Look for this request in the service's log: requestId ${problem.requestId ?? answer.headers["x-request-id"] ?? "unknown"}`,
      });
  }
}
