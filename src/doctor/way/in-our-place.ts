import { broken, type Finding } from "../finding.ts";
import { directive } from "./directives.ts";
import { nameOf, proxyOf } from "./proxy.ts";
import type { Answer } from "./request.ts";

const LOGIN = /log-?in|sign-?in|auth|sso|oauth|account|session/i;

/** Somebody answered who is not the service: who, and how to let the request through. */
export function explainStranger(answer: Answer, url: URL): Finding {
  const proxy = proxyOf(answer);
  const { status, headers } = answer;
  const type = headers["content-type"]?.split(";")[0] ?? "no content type";
  const path = url.pathname;
  const name = nameOf(proxy);

  if (status >= 300 && status < 400) return redirect(answer, url);
  if (status === 401 && headers["www-authenticate"] !== undefined)
    return broken("password", {
      seen: `${path} asks for a password before the service is reached: 401, WWW-Authenticate: ${headers["www-authenticate"].split(" ")[0]}, from ${name}`,
      why: "The bell sends its token in the header that the password would need, so no request passes.",
      fix: directive("basicAuth", proxy),
    });
  if (status === 502 || status === 503 || status === 504)
    return broken("proxy", {
      seen: `${status} from ${proxy ?? "the proxy"}, not from the service: ${GATEWAY[status]}`,
      why: "The proxy is there, and the service behind it does not answer. Every bell is offline.",
      fix: directive("upstream", proxy),
    });
  if (status === 405 || status === 501)
    return broken("proxy", {
      seen: `${status} for a GET of ${path}, from ${name} and not from the service`,
      why: "The request does not reach the service.",
      fix: directive("methods", proxy),
    });
  if (status === 403 || status === 429)
    return broken("proxy", {
      seen: `${status} for ${path} from ${name} and not from the service`,
      why: "A rule of the proxy or of a firewall refuses the request before the service sees it.",
      fix: `Exempt /api/notifications from that rule${status === 429 ? ": a bell that reconnects is no attack" : ""}. The log of ${proxy ?? "the proxy"} names it.`,
    });
  const what = type === "text/html" ? "an HTML page, as a front end sends" : type;
  return broken("route", {
    seen: `${path} is answered by ${proxy ? `${proxy} or the application behind it` : "another application"}, not by the service: ${status}, ${what}`,
    why: "The proxy leads this path to something else, so no request of a bell reaches the service.",
    fix: directive("route", proxy),
  });
}

const GATEWAY = {
  502: "it gets no connection, or a broken answer",
  503: "it takes the service for down, or is overloaded",
  504: "the service did not answer it in time",
};

function redirect(answer: Answer, url: URL): Finding {
  const proxy = proxyOf(answer);
  const { location = "" } = answer.headers;
  const target = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
  const seen = `${url.pathname} is redirected (${answer.status}) to ${target ? target.origin + target.pathname : "nowhere"} by ${nameOf(proxy)}`;
  const why = "The token is sent to no other address, and a browser drops it on the way as well.";
  if (target?.protocol === "https:" && url.protocol === "http:" && target.hostname === url.hostname)
    return broken("redirect", {
      seen,
      why,
      fix: `Use https: bellwire doctor ${target.origin}, and the same in the bell's url.`,
    });
  if (target && LOGIN.test(target.href))
    return broken("login", {
      seen,
      why: "Something in front asks for a login before the service sees the request. A bell has only its token.",
      fix: `Exempt /api/notifications from the login${proxy === "Next.js" ? " in middleware.ts: config.matcher" : ` in ${proxy ?? "the proxy"}`}. The service checks the token itself.`,
    });
  return broken("redirect", {
    seen,
    why,
    fix: target
      ? `If that is the right address: bellwire doctor ${target.origin}, and the same in the bell's url. If not: ${directive("route", proxy)}`
      : directive("route", proxy),
  });
}
