const EXPECTED = "Expected postgres://user:password@host:5432/database";

/**
 * What is wrong with a database URL, in words that do not quote it, because it has a password; undefined if the driver can use it. The
 * driver takes any text: it takes a host from mysql://, and connects to a host called `base` for a text that is no URL. It also takes a
 * socket's folder: `postgres://user@/database?host=/tmp`, `/tmp database` and `socket:/tmp?db=database`.
 */
export function findUrlProblem(url: string): string | undefined {
  if (/^(\/|socket:)/.test(url)) return undefined;
  if (/^["'`]/.test(url))
    return "Remove the quotes. docker --env-file and some hosts' dashboards keep them as a part of the value";
  if (/^psql\s/.test(url)) return "Leave out the word psql, and quotes";
  if (/^prisma(\+postgres)?:/.test(url))
    return `This is the address of Prisma Accelerate, which only Prisma's client can use. ${EXPECTED}: the database's own`;
  if (/^jdbc:/.test(url)) return `This is JDBC's form. ${EXPECTED}`;
  if (!/^postgres(ql)?:\/\//i.test(url)) return `${describeStart(url)}. ${EXPECTED}`;
  if (/\$\{[^}]*\}|<[^>]*>|\[YOUR-PASSWORD\]/.test(url))
    return "It has a placeholder: <…>, [YOUR-PASSWORD], or a variable in braces, which nothing expands in .env";
  return findPartProblem(url);
}

const ENCODE = "in a user or password write @ : / ? # % as %40 %3A %2F %3F %23 %25";

function findPartProblem(url: string): string | undefined {
  const [, authority = "", path = "", query = ""] =
    /^[^:]+:\/\/([^/?#]*)([^?]*)(.*)$/s.exec(url) ?? [];
  // A `/` or `#` in the password ends the host for the driver.
  if (path.includes("@") || url.includes("#")) return `A / or # in it cuts it short: ${ENCODE}`;
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  if (host.includes(",")) return "It names several hosts. Name one: the primary";
  if (!canRead(url)) return `It cannot be read: the port is a number up to 65535; ${ENCODE}`;
  const mode = new URLSearchParams(query).get("sslmode");
  if (mode !== null && !SSL_MODES.includes(mode))
    return `sslmode is one of ${SSL_MODES.join(", ")}`;
  return undefined;
}

/** Without `allow`: the driver would demand TLS and check the certificate. `no-verify` is the driver's own. */
const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full", "no-verify"];

/** As the driver reads it. The host may be empty, which is no URL elsewhere. */
function canRead(url: string): boolean {
  try {
    const { username, password, pathname } = new URL(url.replace("@/", "@socket/"));
    for (const part of [username, password, pathname])
      decodeURIComponent(part.replace(/%(?![0-9a-f]{2})/gi, "%25"));
    return true;
  } catch {
    return false;
  }
}

/** The scheme alone can hold no password. */
function describeStart(url: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:(?=\/\/)|^file:/i.exec(url)?.[0];
  if (scheme) return `This begins with ${scheme}, and Bellwire needs PostgreSQL`;
  if (/^\w+ *=/.test(url)) return "The driver does not know the form host=… dbname=…";
  return "This is not a URL";
}
