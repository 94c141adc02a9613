import { type DatabaseConfig, readDoctorConfig } from "../config.ts";
import { asService } from "../db/pool.ts";
import { examineDatabase } from "../doctor/database/examine.ts";
import { report } from "../doctor/report.ts";
import { examineWay, type WayOptions } from "../doctor/way/way.ts";
import { loadConfig } from "../main.ts";
import { readFiles } from "../migrate/files.ts";
import { createCommand } from "./command.ts";
import { namedFolders } from "./folders.ts";
import { migrationUrl } from "./migration-url.ts";
import { readWayOptions } from "./way-options.ts";

export const command = createCommand({
  help: `bellwire doctor [URL] [--token T] [--recipient R] [--origin O] [--rules DIR] [--long] [--json]

Says why the bell is silent, or would be. Each finding has what was seen, why it matters and what to do. Exits with 1 where a person should
look, with 2 where the bell does not ring.

Without a URL: the database's side: connections, LISTEN, roles, settings, schema, rules, load. Changes nothing; sends one NOTIFY, which running
services ignore. Run it where the service runs, with its environment; the login that runs migrate sees more. --rules is the folder of your
rules. Reads DATABASE_URL, DIRECT_DATABASE_URL, DATABASE_POOL_SIZE, RETENTION_DAYS and JWT_LEEWAY_SECONDS.

With the URL of your site: also the way from a browser to the service, from here through every proxy; without DATABASE_URL, only that.
  --token T       as this token's recipient
  --recipient R   as this recipient, with a token made with JWT_SECRET; otherwise as bellwire-doctor. If the login of DATABASE_URL may,
                  test rows are written to it and deleted; never to the recipient of a --token, unless it is named
  --origin O      also for pages of this other origin (CORS)
  --long          also how long a quiet stream lives: six minutes
On the service's machine it sees more. Reads METRICS_PORT, HEARTBEAT_SECONDS, ALLOWED_ORIGINS and the variables that begin with JWT_ as well.`,
  options: {
    json: { type: "boolean", default: false },
    long: { type: "boolean", default: false },
    origin: { type: "string" },
    recipient: { type: "string" },
    rules: { type: "string" },
    token: { type: "string" },
  },
  async run({ args: [url, ...others], values: { json, rules, ...values }, misuse }) {
    if (others.length > 0) return misuse("doctor takes one URL");
    const { token, recipient, origin, long } = values;
    if (!url && (token || recipient || origin || long))
      return misuse("--token, --recipient, --origin and --long need the URL of your site");
    const { database, ...config } = loadConfig(readDoctorConfig);
    const way = url
      ? await readWayOptions({ url, token, recipient, origin, long }, database, misuse)
      : undefined;
    const files = rules === undefined ? [] : readFiles({ folders: namedFolders([rules]) });
    if (way) sayWait(way);
    const findings = await Promise.all([
      url && database.kind === "embedded"
        ? []
        : examineDatabase({
            ...urlsOf(database),
            ...config,
            rules: files.filter(({ isFurther }) => isFurther),
          }),
      way ? examineWay(way) : [],
    ]);
    return report(findings.flat(), json ? "json" : "text");
  },
});

/** For a person who waits. */
function sayWait({ url, watchMs }: WayOptions): void {
  const time = watchMs === undefined ? "up to a minute" : `${watchMs / 60_000} minutes`;
  if (process.stderr.isTTY) process.stderr.write(`Examining ${url}, which takes ${time} …\n`);
}

function urlsOf(database: DatabaseConfig) {
  if (database.kind === "embedded") {
    const url = migrationUrl({ database });
    const name = "the demo's database";
    return { service: { name, url: asService(url) }, direct: { name, url } };
  }
  const { url, directUrl } = database;
  const direct = url === directUrl ? "DATABASE_URL" : "DIRECT_DATABASE_URL";
  return { service: { name: "DATABASE_URL", url }, direct: { name: direct, url: directUrl } };
}
