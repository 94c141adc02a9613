export const USAGE = `bellwire <command>

  start                          run the service; without DATABASE_URL, with a PostgreSQL of its own
  migrate [folder…]              bring the database up to date; folders hold rules, as sql/rules does
  plan [folder…]                 print what migrate would run, as one SQL text
  status [folder…]               migrations, drifted functions, rules, roles; exit 1 on drift and broken rules
  token <recipient> [--ttl 1h]   print a token for a recipient (s, m, h, d)
  prune                          delete notifications older than RETENTION_DAYS
  --version                      print the version
`;

/** The command line is wrong. Its message is printed with the usage. */
export class UsageError extends Error {}
