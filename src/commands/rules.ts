import { readDatabaseConfig } from "../config.ts";
import { EXIT } from "../exit-code.ts";
import { createLogger } from "../logger.ts";
import { loadConfig } from "../main.ts";
import { applyRules, diffRules, listRules } from "../migrate/rules.ts";
import { createCommand, type Outcome } from "./command.ts";
import { namedFolders } from "./folders.ts";
import { migrationUrl } from "./migration-url.ts";
import { formatApplied, formatDiff, formatList } from "./rules-text.ts";

export const command = createCommand({
  help: `bellwire rules [list]
bellwire rules apply <folder…>
bellwire rules diff <folder…>

list shows the installed rules, and what is wrong with them. Exits with 1 where a person is needed.
apply runs the SQL files of the folders in one transaction: everything or nothing. It also mends rules whose table was dropped and
created again. It does not drop a rule whose file is gone; it says how to. It does not enable a disabled rule.
diff says what apply would do. Changes nothing. Exits with 1 if there is a difference.
All read DATABASE_URL and DIRECT_DATABASE_URL.`,
  async run({ args: [what = "list", ...args], misuse }): Promise<Outcome> {
    if (what !== "list" && what !== "apply" && what !== "diff")
      return misuse(`there is no command rules ${what}`);
    if (what === "list" && args.length > 0) return misuse("rules list takes no folder");
    if (what !== "list" && args.length === 0) return misuse(`rules ${what} needs a folder`);
    const config = loadConfig(readDatabaseConfig);
    const url = migrationUrl(config);
    if (what === "list") return list(url);
    const folders = namedFolders(args);
    if (what === "diff") return diff(url, folders);
    const log = createLogger(config.logLevel);
    return { text: formatApplied(await applyRules({ url, folders, log })) };
  },
});

async function list(url: string): Promise<Outcome> {
  const { rules, findings } = await listRules({ url });
  const text = formatList(rules, findings);
  return findings.some(({ level }) => level !== "note") ? { text, exitCode: EXIT.look } : { text };
}

async function diff(url: string, folders: string[]): Promise<Outcome> {
  const { changes, failures } = await diffRules({ url, folders });
  const text = formatDiff(changes, failures);
  const isSame =
    failures.length === 0 &&
    changes.every(({ state, refusal }) => state === "unchanged" && !refusal);
  return isSame ? { text } : { text, exitCode: EXIT.look };
}
