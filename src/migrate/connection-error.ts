import pg from "pg";

/** Why a connection cannot be made, and the one thing to do, as sentences. Neither has the password. */
export type Explained = { what: string; todo: string; needsPerson: boolean };

/**
 * Explains what `connect` of a pg.Client with this URL threw. `needsPerson`: the server refused the login, or the URL cannot be used;
 * else waiting may help. The listed codes are all of which a person can do more than wait.
 */
export function explainConnectionError(err: unknown, url: string): Explained {
  const target = readTarget(url);
  const error = err instanceof Error ? err : new Error(String(err));
  const code = "code" in error ? String(error.code) : "";
  const explain = target && (BY_CODE[code] ?? BY_MESSAGE[error.message]);
  if (explain) return explain(target, error);
  if (!target) return unreadable(error);
  // The server's answer, or the driver's, is all that we know.
  return {
    what: `Cannot connect to PostgreSQL at ${target.at}: ${error.message}.`,
    todo: CHECK_URL,
    needsPerson: false,
  };
}

type Target = { at: string; host: string; user: string; database: string; isLocal: boolean };
type Explain = (target: Target, err: Error) => Explained;

/** As the driver reads the URL, with PGHOST and the other variables of libpq, and its defaults. */
function readTarget(url: string): Target | undefined {
  try {
    const { host, port, user = "", database = "" } = new pg.Client({ connectionString: url });
    const at = host.startsWith("/") ? `the socket ${host}/.s.PGSQL.${port}` : `${host}:${port}`;
    const isLocal = /^(localhost|127\.|::1$)/.test(host);
    return { at, host, user, database, isLocal };
  } catch {
    return undefined;
  }
}

const CHECK_URL = "Check host, port and sslmode of the database URL.";
const ENCODE = "in a password write @ : / ? # % as %40 %3A %2F %3F %23 %25";

/** The driver reads the files of `sslrootcert`, `sslcert` and `sslkey` when it reads the URL. */
const unreadable = (error: Error): Explained => ({
  what:
    "path" in error
      ? `The database URL names a file that cannot be read: ${error.path}.`
      : "The database URL cannot be read.",
  todo:
    "path" in error
      ? "Correct sslrootcert, sslcert or sslkey. For certificates of a public authority leave sslrootcert out."
      : `Expected postgres://user:password@host:5432/database; ${ENCODE}.`,
  needsPerson: true,
});

/** The embedded server, which commands use without DATABASE_URL. */
const isDemo = ({ user, database, isLocal }: Target) =>
  isLocal && user === "postgres" && database === "bellwire";

const refused: Explain = (target) => ({
  what: `Nothing listens at ${target.at}.`,
  todo: isDemo(target)
    ? "Without DATABASE_URL this is the demo's own PostgreSQL, which runs as long as bellwire start does: start it, or set DATABASE_URL."
    : target.isLocal
      ? "Start PostgreSQL, or correct host and port of the database URL. In a container this address is the container itself."
      : "Start PostgreSQL, let it listen on that address (listen_addresses), or correct host and port of the database URL.",
  needsPerson: false,
});

const unanswered: Explain = ({ at }) => ({
  what: `${at} does not answer.`,
  todo: "Correct host and port of the database URL, or let this machine through the database's firewall.",
  needsPerson: false,
});

const unknownHost: Explain = ({ host }) => ({
  what: `The host name ${JSON.stringify(host)} cannot be resolved.`,
  todo: `Correct the host of the database URL; ${ENCODE}.`,
  needsPerson: false,
});

const untrusted: Explain = ({ at }, err) => ({
  what: `The TLS certificate of ${at} is not trusted: ${err.message}.`,
  todo: "Add sslrootcert=/path/of/the/provider's/ca.pem to the database URL; or sslmode=no-verify, which encrypts but trusts any server.",
  needsPerson: true,
});

/** System errors, SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) and errors of OpenSSL. */
const BY_CODE: Record<string, Explain> = {
  ECONNREFUSED: refused,
  ENOENT: refused,
  ETIMEDOUT: unanswered,
  EHOSTUNREACH: unanswered,
  ENETUNREACH: unanswered,
  ENOTFOUND: unknownHost,
  EAI_AGAIN: unknownHost,
  EACCES: ({ at }) => ({
    what: `This user may not open ${at}.`,
    todo: "Connect over TCP: a host name in the database URL.",
    needsPerson: true,
  }),
  "28P01": ({ at, user }) => ({
    what: `PostgreSQL at ${at} refused the password of user ${JSON.stringify(user)}, or has no such user.`,
    todo: `Correct user and password of the database URL; ${ENCODE}.`,
    needsPerson: true,
  }),
  "28000": ({ at, user }, { message }) => ({
    what: `PostgreSQL at ${at} refused user ${JSON.stringify(user)}: ${message}.`,
    todo: message.endsWith("no encryption")
      ? "Add sslmode=require to the database URL; or let pg_hba.conf admit this user without TLS."
      : "Create that user with the right to log in, and let pg_hba.conf admit it from this machine; or correct the database URL.",
    needsPerson: true,
  }),
  "3D000": ({ at, database }) => ({
    what: `PostgreSQL at ${at} has no database ${JSON.stringify(database)}.`,
    todo: `Create it: create database ${pg.escapeIdentifier(database)}; or correct the name at the end of the database URL.`,
    needsPerson: true,
  }),
  "42501": ({ at, user, database }) => ({
    what: `PostgreSQL at ${at} does not let user ${JSON.stringify(user)} connect to database ${JSON.stringify(database)}.`,
    todo: `Ask its owner to run: grant connect on database ${pg.escapeIdentifier(database)} to ${pg.escapeIdentifier(user)};`,
    needsPerson: true,
  }),
  "53300": ({ at }) => ({
    what: `PostgreSQL at ${at} has no free connection.`,
    todo: "Close other clients, or raise max_connections or the user's connection limit.",
    needsPerson: false,
  }),
  "57P03": ({ at }, { message }) => ({
    what: `PostgreSQL at ${at} is not ready: ${message}.`,
    todo: "Try again in a moment.",
    needsPerson: false,
  }),
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: untrusted,
};

const noPassword: Explain = ({ at, user }) => ({
  what: `PostgreSQL at ${at} wants a password of user ${JSON.stringify(user)}, and the database URL has none.`,
  todo: "Write it into the URL: postgres://user:password@host:5432/database.",
  needsPerson: true,
});

const notPostgres: Explain = ({ at }) => ({
  what: `${at} closes the connection without an answer of PostgreSQL's.`,
  todo: "Is that PostgreSQL's port? Correct host and port of the database URL.",
  needsPerson: false,
});

/** The driver's errors without a code. A test provokes each, so that another wording in the driver is found. */
const BY_MESSAGE: Record<string, Explain> = {
  "timeout expired": unanswered,
  "Connection terminated unexpectedly": notPostgres,
  "The server does not support SSL connections": ({ at }) => ({
    what: `PostgreSQL at ${at} has no TLS.`,
    todo: "Turn on ssl there; or remove sslmode from the database URL if the network between is yours.",
    needsPerson: true,
  }),
  "There was an error establishing an SSL connection": notPostgres,
  "SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string": noPassword,
  "SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string": noPassword,
};
