export const USAGE = `bellwire <command>

  start                          run the service; without DATABASE_URL, with an embedded PostgreSQL
  migrate [folder…]              bring the database up to date; folders contain your rules
  plan [folder…]                 print the SQL that migrate would run
  status [folder…]               migrations, edited functions, rules, roles; exit 1 on an edit or a broken rule
  token <recipient> [--ttl 1h]   print a token for a recipient (s, m, h, d)
  prune                          delete notifications older than RETENTION_DAYS
  --help, --version              print this, or the version
`;

/** The command line is wrong. Its message is printed with the usage. */
export class UsageError extends Error {}
