import type { ClientBase } from "pg";
import type { MigrationFile } from "../../migrate/files.ts";
import type { Finding } from "../finding.ts";
import { checkClock } from "./clock.ts";
import { checkConnections } from "./connections.ts";
import { checkLimits } from "./limits.ts";
import { checkListen } from "./listen.ts";
import { checkRights } from "./rights.ts";
import { checkRoles } from "./roles.ts";
import { checkRowSecurity } from "./row-security.ts";
import { checkRulePlans } from "./rule-plans.ts";
import { checkRules } from "./rules.ts";
import { type Able, checkSchema } from "./schema.ts";
import type { Reached } from "./server.ts";
import { checkServices } from "./services.ts";
import type { Session } from "./session.ts";
import { checkSettings } from "./settings.ts";
import { checkTables } from "./tables.ts";
import { checkTransactions } from "./transactions.ts";
import { checkTriggers } from "./triggers.ts";
import { checkWakeups } from "./wakeups.ts";

export interface CheckOptions {
  poolSize: number;
  leewayMs: number;
  retentionDays: number;
  /** The files of the application's rules; none if they are not to be compared. */
  rules: readonly MigrationFile[];
}

export interface Check {
  /** What its findings are called, if it cannot be made. */
  name: string;
  run(): Promise<Finding[]>;
}

/** The checks that make sense on what was reached, in the order of the report. */
export function listChecks(
  { service, direct, able }: { service: Reached; direct: Reached; able: Able },
  options: CheckOptions,
): Check[] {
  const isWritable = !service.server.isStandby && !direct.server.isStandby;
  // In the demo the direct one has more rights.
  const main = direct.server.isStandby ? service.session : direct.session;

  const check = (name: string, run: () => Promise<Finding[]>): Check => ({ name, run });
  const on = (session: Session, name: string, work: (client: ClientBase) => Promise<Finding[]>) =>
    check(name, () => session.read((client) => work(client)));

  const ofAnyDatabase = [
    on(main, "clock", (client) => checkClock(client, options.leewayMs)),
    on(service.session, "settings", checkSettings),
    on(service.session, "connections", (client) => checkConnections(client, options.poolSize)),
    on(main, "transactions", checkTransactions),
    on(main, "schema", (client) => checkSchema(client, able)),
  ];
  if (!able.isInstalled) return ofAnyDatabase;
  const ofBellwire = [
    ...ofAnyDatabase,
    on(main, "roles", checkRoles),
    on(service.session, "rights", checkRights),
    on(service.session, "limits", checkLimits),
    on(main, "service", checkServices),
  ];
  if (!able.mayLook) return ofBellwire; // the rights that it lacks are a finding
  return [
    ...ofBellwire,
    ...(isWritable ? [check("listen", () => checkListen(service, direct))] : []),
    on(main, "trigger_rights", checkTriggers),
    on(main, "row_security", checkRowSecurity),
    on(main, "wakeups", checkWakeups),
    on(main, "tables", (client) => checkTables(client, options.retentionDays)),
    // Last, because they plan queries of the application's tables, which a migration may have locked.
    check("rules", () => checkRules(main, options.rules)),
    ...(able.maySeeFunctions ? [on(main, "rule_no_index", checkRulePlans)] : []),
  ];
}
