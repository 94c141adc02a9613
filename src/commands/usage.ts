export const USAGE = `bellwire <command>

  start                            run the service; without DATABASE_URL, the demo
  demo                             run the demo with an embedded PostgreSQL, whatever DATABASE_URL says
  migrate [folder…]                bring the database up to date; folders contain your rules
  plan [folder…]                   print the SQL that migrate would run
  status [folder…]                 migrations, edited functions, rules, roles
  rules [list]                     the installed rules, and what is wrong with them; also:
                                   rules apply <folder…>, rules diff <folder…>
  explain <notification>           why somebody was told; or for a row of the application, why or why not:
                                   explain --table <table> --row <key> --recipient <recipient>
  doctor [URL]                     what is wrong with the database's side, and on the way to the browser; what to do
  token <recipient> [--ttl 1h]     print a token for a recipient
  prune                            delete notifications older than RETENTION_DAYS
  top                              watch the running service: who is connected, rates, lag, errors
  --help, --version                print this, or the version; bellwire <command> --help says more

Exit code: 0 well, 1 a person should look, 2 broken or called wrongly, 78 the settings are wrong.
`;
