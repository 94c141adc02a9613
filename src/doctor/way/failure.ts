import { broken, type Finding, type Trouble } from "../finding.ts";
import { directive } from "./directives.ts";
import type { Failure } from "./request.ts";

const NO_BROWSER = "No browser opens a connection either.";

/** Certificates that Node refuses, as browsers do. */
const CERTIFICATES: Record<string, [what: string, fix: string]> = {
  CERT_HAS_EXPIRED: [
    "has expired",
    "Renew it (certbot renew), and reload the proxy, which keeps the old one in memory.",
  ],
  DEPTH_ZERO_SELF_SIGNED_CERT: [
    "is self-signed",
    "Get one from a public authority (certbot, Caddy). If it is your own on purpose: NODE_EXTRA_CA_CERTS=/path/to/it.pem bellwire doctor …",
  ],
  SELF_SIGNED_CERT_IN_CHAIN: [
    "is signed by an authority that this machine does not know",
    "Get one from a public authority. If it is your company's on purpose: NODE_EXTRA_CA_CERTS=/path/to/ca.pem bellwire doctor …",
  ],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [
    "comes without its intermediate certificate",
    "Give the proxy the full chain (fullchain.pem, not cert.pem), and reload it.",
  ],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    "is for another host name",
    "Get a certificate for this name, or use the name that it has.",
  ],
  CERT_NOT_YET_VALID: [
    "is not valid yet",
    "Compare this machine's clock with the time (timedatectl), and look at the certificate's dates.",
  ],
};

/** Why there was no response at all. */
export function explainFailure({ code, message }: Failure, url: URL): Finding {
  const certificate = CERTIFICATES[code];
  if (certificate)
    return broken("tls", {
      seen: `the certificate of ${url.host} ${certificate[0]} (${code})`,
      why: "Browsers refuse the connection, and the bell stays offline. The token was not sent.",
      fix: certificate[1],
    });
  if (code === "EPROTO" || code.startsWith("ERR_SSL"))
    return broken("tls", {
      seen: `${url.host} does not speak TLS as expected (${code})`,
      why: NO_BROWSER,
      fix: `See what listens there: curl -v ${url.origin}. If it is plain HTTP, use http:// or let the proxy end TLS.`,
    });
  return broken("reach", connectionTrouble({ code, message }, url));
}

function connectionTrouble({ code, message }: Failure, url: URL): Trouble {
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return {
        seen: `the name ${url.hostname} cannot be resolved (${code})`,
        why: NO_BROWSER,
        fix: `Check the spelling and the DNS record: dig +short ${url.hostname}`,
      };
    case "ECONNREFUSED":
      return {
        seen: `nothing listens at ${url.host} (connection refused)`,
        why: NO_BROWSER,
        fix: `If it restarts just now, run doctor again. Else start what should listen there, the proxy or the service (it listens on 127.0.0.1 unless HOST says otherwise), and look: ss -ltnp | grep :${portOf(url)}`,
      };
    case "TIMEOUT":
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return {
        seen: `${url.host} does not answer (${message})`,
        why: "Browsers wait for minutes and then give up.",
        fix: `See whether a firewall drops port ${portOf(url)}, and whether the proxy and the service still run.`,
      };
    default:
      return {
        seen: `${url.host} cut the connection before it answered (${code}: ${message})`,
        why: "The bell tries again and again, and gets nothing.",
        fix: `${directive("upstream", undefined)} A port that speaks TLS answers plain HTTP like this: try https://.`,
      };
  }
}

const portOf = ({ port, protocol }: URL) => port || (protocol === "https:" ? "443" : "80");
