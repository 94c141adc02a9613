import { setTimeout as delay } from "node:timers/promises";
import { explainConnectionError } from "../../migrate/connection-error.ts";
import { broken, type Finding } from "../finding.ts";
import { type Check, type CheckOptions, listChecks } from "./checks.ts";
import { explainUndone, isLost } from "./not-done.ts";
import { readAble } from "./schema.ts";
import { checkServers, describeConnections, OLDEST_MAJOR, readServer } from "./server.ts";
import { openSession, type Session } from "./session.ts";

/** `name` is what sentences call the URL. */
type Named = { name: string; url: string };

/** What the service gets as DATABASE_URL and DIRECT_DATABASE_URL. Where both are one URL, they have one name. */
export type ExamineOptions = CheckOptions & { service: Named; direct: Named };

/** A statement that waits ends sooner (session.ts). This is for checks of many statements. */
const CHECK_MS = 10_000;

/** Looks at the service's database through both of its URLs. Changes nothing, and sends one NOTIFY. A check ends within 10 s. */
export async function examineDatabase(options: ExamineOptions): Promise<Finding[]> {
  const opened = await Promise.all([open(options.service), open(options.direct)]);
  const sessions = opened.filter(isSession);
  const failures = unique(opened.filter(isFinding), ({ seen }) => seen);
  try {
    const [first, last = first] = sessions;
    return first && last ? [...failures, ...(await examine(first, last, options))] : failures;
  } finally {
    for (const session of sessions) session.close();
  }
}

async function open({ name, url }: Named): Promise<Session | Finding> {
  try {
    return await openSession(name, url);
  } catch (err) {
    const { what, todo: fix } = explainConnectionError(err, url);
    const why = "Without its database the service answers 503, or does not start.";
    return broken("connect", { seen: `${name}: ${what}`, why, fix });
  }
}

const isSession = (opened: Session | Finding): opened is Session => "client" in opened;
const isFinding = (opened: Session | Finding): opened is Finding => !isSession(opened);

const unique = <T>(items: readonly T[], keyOf: (item: T) => string): T[] => [
  ...new Map(items.map((item) => [keyOf(item), item])).values(),
];

/** `service` and `direct` are the same session if the other one could not be opened. */
async function examine(
  service: Session,
  direct: Session,
  options: CheckOptions,
): Promise<Finding[]> {
  const found: Finding[] = [];
  const checks: Check[] = [
    {
      name: "server",
      async run() {
        const reached = { session: service, server: await readServer(service) };
        const alone = { session: direct, server: await readServer(direct) };
        const urls = unique([reached, alone], ({ session }) => session.target.name);
        const isOld = urls.some(({ server }) => server.major < OLDEST_MAJOR);
        if (!isOld) {
          const able = await (alone.server.isStandby ? service : direct).read(readAble);
          checks.push(...listChecks({ service: reached, direct: alone, able }, options));
        }
        return [describeConnections(urls.map(({ session }) => session)), ...checkServers(urls)];
      },
    },
  ];
  // The first one adds those that make sense on what it has seen.
  for (const { name, run } of checks) {
    try {
      found.push(...(await within(CHECK_MS, run())));
    } catch (err) {
      found.push(explainUndone(name, err));
      if (isLost(err)) break;
    }
  }
  return found;
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const limit = delay(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`no end within ${ms / 1000} s`);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    timer.abort();
  }
}
