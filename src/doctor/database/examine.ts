import type { ClientBase } from "pg";
import { explainConnectionError } from "../../migrate/connection-error.ts";
import type { MigrationFile } from "../../migrate/files.ts";
import { broken, type Finding } from "../finding.ts";
import { checkClock } from "./clock.ts";
import { checkConnections } from "./connections.ts";
import { checkLimits } from "./limits.ts";
import { checkListen } from "./listen.ts";
import { explainUndone, isLost } from "./not-done.ts";
import { checkRights } from "./rights.ts";
import { checkRoles } from "./roles.ts";
import { checkRules } from "./rules.ts";
import { checkSchema, readAble } from "./schema.ts";
import { checkServers, describeConnections, type Reached, readServer } from "./server.ts";
import { checkServices } from "./services.ts";
import { openSession, type Session } from "./session.ts";
import { checkSettings } from "./settings.ts";

export interface ExamineOptions {
  /** What the service gets as DATABASE_URL and DIRECT_DATABASE_URL, and what to call them. */
  service: { name: string; url: string };
  direct: { name: string; url: string };
  poolSize: number;
  leewayMs: number;
  /** The files of the application's rules; none if they are not to be compared. */
  rules: readonly MigrationFile[];
}

/** Looks at the service's database through both of its URLs. Changes nothing; one NOTIFY is sent. A check ends within 10 s. */
export async function examineDatabase(options: ExamineOptions): Promise<Finding[]> {
  const { sessions, findings } = await openSessions(options);
  try {
    if (findings.length > 0 && sessions.length === 0) return findings;
    return [...findings, ...(await examineSessions(sessions, options))];
  } finally {
    for (const session of sessions) session.close();
  }
}

/** Both at once. Where both are the same URL, a problem is reported once. */
async function openSessions({ service, direct }: ExamineOptions) {
  const sessions: Session[] = [];
  const findings: Finding[] = [];
  async function open({ name, url }: { name: string; url: string }) {
    try {
      return await openSession(name, url);
    } catch (err) {
      const { what, todo: fix } = explainConnectionError(err, url);
      const why = "Without its database the service answers 503, or does not start.";
      return broken("connect", { seen: `${name}: ${what}`, why, fix });
    }
  }
  for (const opened of await Promise.all([open(service), open(direct)]))
    if ("check" in opened) findings.push(opened);
    else sessions.push(opened);
  if (service.name === direct.name) findings.splice(1);
  return { sessions, findings };
}

/** Without the second session to the same URL. */
const isFirst = (item: Session | Reached, i: number, all: readonly (Session | Reached)[]) =>
  all.findIndex((other) => nameOf(other) === nameOf(item)) === i;

const nameOf = (item: Session | Reached) =>
  "session" in item ? item.session.target.name : item.target.name;

async function examineSessions(sessions: Session[], options: ExamineOptions): Promise<Finding[]> {
  const found: Finding[] = [];

  /** False if the database no longer answers. */
  async function run(check: string, work: () => Promise<Finding[]>): Promise<boolean> {
    try {
      found.push(...(await work()));
      return true;
    } catch (err) {
      found.push(explainUndone(check, err));
      return !isLost(err);
    }
  }

  const reached: Reached[] = [];
  const isReached = await run("server", async () => {
    for (const session of sessions) reached.push({ session, server: await readServer(session) });
    return [
      describeConnections(sessions.filter(isFirst)),
      ...checkServers(reached.filter(isFirst)),
    ];
  });
  const [sender] = reached;
  const hearer = reached.at(-1);
  if (!isReached || !sender || !hearer) return found;
  if (reached.some(({ server }) => server.major < 15)) return found;

  const { session: service } = sender;
  const primaries = reached.filter(({ server }) => !server.isStandby);
  // In the demo this one has more rights.
  const main = (primaries.at(-1) ?? hearer).session;
  const able = await main.read(readAble);
  const on = (session: Session, work: (client: ClientBase) => Promise<Finding[]>) => () =>
    session.read(work);

  const checks: [check: string, work: () => Promise<Finding[]>][] = [
    ["clock", on(main, (client) => checkClock(client, options.leewayMs))],
    ["settings", on(service, checkSettings)],
    ["connections", on(service, (client) => checkConnections(client, options.poolSize))],
    ["schema", on(main, (client) => checkSchema(client, able))],
    ...(able.isInstalled
      ? ([
          // A standby cannot listen or notify, and was found already.
          ...(primaries.length === reached.length
            ? [["listen", () => checkListen(sender, hearer)]]
            : []),
          ["roles", on(main, checkRoles)],
          ["rights", on(service, checkRights)],
          ["limits", on(service, checkLimits)],
          ["rules", () => checkRules(main, options.rules)],
          ["service", on(main, checkServices)],
        ] as [string, () => Promise<Finding[]>][])
      : []),
  ];
  for (const [check, work] of checks) if (!(await run(check, work))) break;
  return found;
}
