import type pg from "pg";
import type { Logger } from "../logger.ts";
import { checkSchema } from "./check-schema.ts";
import { compareRules, type FolderComparison, type RuleChange } from "./compare-rules.ts";
import { withConnection } from "./connect.ts";
import { isDatabaseError, MigrationError, SQLSTATE } from "./error.ts";
import { type FileOptions, type MigrationFile, readFiles } from "./files.ts";
import { isBusy } from "./folder-rules.ts";
import { type InstalledRule, readInstalledRules } from "./installed-rules.ts";
import { lockTables } from "./lock-tables.ts";
import { SETTINGS } from "./opening.ts";
import { readRuleFindings } from "./rule-findings.ts";
import type { RuleFinding } from "./rule-meanings.ts";
import { runPart } from "./run-part.ts";
import { createScript } from "./script.ts";
import { readTarget, type Target } from "./target.ts";

export type RulesOptions = FileOptions & { url: string };

/** The installed rules, and what is wrong with them. */
export function listRules({
  url,
}: {
  url: string;
}): Promise<{ rules: InstalledRule[]; findings: RuleFinding[] }> {
  return withConnection(url, async (client) => {
    await checkSchema(client);
    // The names of tables depend on search_path.
    await client.query("begin read only");
    await client.query(SETTINGS);
    const rules = await readInstalledRules(client);
    await client.query("rollback");
    return { rules, findings: await readRuleFindings(client) };
  });
}

/** What `applyRules` would do. Changes nothing. */
export function diffRules({ url, ...options }: RulesOptions): Promise<FolderComparison> {
  const files = readFurther(options);
  return withConnection(url, (client) => compare(client, files));
}

/**
 * Applies all files of the folders in one transaction, also those that have not changed: defining a rule again mends it, and takes no
 * lock on its table if there is nothing to mend. Otherwise it tries for 5 s to get the lock, and then changes nothing.
 */
export function applyRules({
  url,
  log,
  ...options
}: RulesOptions & { log: Logger }): Promise<{ changes: RuleChange[]; findings: RuleFinding[] }> {
  const files = readFurther(options);
  return withConnection(url, async (client) => {
    client.on("notice", ({ code, message: warning, hint }) => {
      if (code === SQLSTATE.warning) log.warn({ warning, hint }, "a file raised a warning");
    });
    const { changes } = await compare(client, files);
    await begin(client);
    await lockTables(client, changes);
    for (const part of createScript(files)) await runPart(client, part);
    await client.query("commit");
    return { changes, findings: await readRuleFindings(client) };
  });
}

function readFurther(options: FileOptions): MigrationFile[] {
  return readFiles(options).filter(({ isFurther }) => isFurther);
}

async function compare(client: pg.Client, files: MigrationFile[]): Promise<FolderComparison> {
  await refuseStranger(client, await readTarget(client));
  await checkSchema(client);
  const findings = await readRuleFindings(client);
  await begin(client);
  try {
    return await explainBusy(compareRules(client, files, findings));
  } finally {
    await client.query("rollback");
  }
}

async function refuseStranger(client: pg.Client, { user }: Target): Promise<void> {
  const { rows } = await client.query<{ grant: string }>(
    `select format('grant bellwire_owner to %I', current_user)
            || case when current_setting('server_version_num')::int >= 160000 then ' with inherit true' else '' end as grant
      where to_regrole('bellwire_owner') is not null
        and not pg_has_role(to_regrole('bellwire_owner'), 'usage')`,
  );
  if (!rows[0]) return;
  throw new MigrationError(
    `The user ${JSON.stringify(user)} may not define rules. Ask an administrator, or the user who runs bellwire migrate: ${rows[0].grant};`,
  );
}

/** A migrate or another apply waits until this has finished, and this waits for them. */
async function begin(client: pg.Client): Promise<void> {
  await client.query("begin isolation level read committed read write");
  await client.query(SETTINGS);
  await explainBusy(client.query("lock table bellwire.schema_history in share row exclusive mode"));
}

async function explainBusy<T>(step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (err) {
    if (!isDatabaseError(err) || !isBusy(err)) throw err;
    throw new MigrationError(
      `Another session changes rules, or holds a lock that a file needs: ${err.message}. Nothing was changed. Try again when it has finished.`,
      { cause: err },
    );
  }
}
