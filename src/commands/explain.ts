import type { Client } from "pg";
import { readDatabaseConfig } from "../config.ts";
import { loadConfig } from "../main.ts";
import { withConnection } from "../migrate/connect.ts";
import { isDatabaseError, MigrationError, SQLSTATE } from "../migrate/error.ts";
import { createCommand } from "./command.ts";
import { migrationUrl } from "./migration-url.ts";

interface Line {
  rule: string | null;
  told: string | null;
  reason: string;
}

export const command = createCommand({
  help: `bellwire explain <notification>
bellwire explain --table <table> --row <key> --recipient <recipient>

Says why a notification exists, or why a recipient was told of a row or not: the rule, whether it told (yes, no, unknown), and a reason.
A table is named with its schema, as in public.messages or 'public."Task"'. A key is the value of its primary key, or of the form (1,2).
Changes nothing. Its login must be a member of bellwire_owner and may read the table. Reads DATABASE_URL and DIRECT_DATABASE_URL.`,
  options: {
    table: { type: "string" },
    row: { type: "string" },
    recipient: { type: "string" },
  },
  async run({ args: [notification, ...rest], values: { table, row, recipient }, misuse }) {
    const given = [table, row, recipient].filter((value) => value !== undefined);
    if (rest.length > 0) misuse("explain takes one notification");
    if (notification === undefined && given.length < 3)
      misuse("explain needs a notification, or --table, --row and --recipient");
    if (notification !== undefined && given.length > 0)
      misuse("explain takes a notification or the three options, not both");
    if (notification !== undefined && !/^\d{1,18}$/.test(notification))
      misuse(`a notification is its id, a number; not ${notification}`);
    const url = migrationUrl(loadConfig(readDatabaseConfig));
    const lines = await withConnection(
      url,
      (client) =>
        notification === undefined
          ? ask(client, "$1::text::regclass, $2, $3", [table, row, recipient])
          : ask(client, "$1::bigint", [notification]),
      { name: "bellwire explain" },
    );
    return { text: format(lines) };
  },
});

async function ask(
  client: Client,
  parameters: string,
  values: (string | undefined)[],
): Promise<Line[]> {
  try {
    return (await client.query<Line>(`select * from bellwire.explain(${parameters})`, values)).rows;
  } catch (err) {
    if (!isDatabaseError(err)) throw err;
    const advice = (err.code && ADVICE[err.code]) ?? err.hint;
    throw new MigrationError(advice ? `${err.message}\n${advice}` : err.message, { cause: err });
  }
}

const ADVICE: Record<string, string> = {
  [SQLSTATE.insufficientPrivilege]:
    "The login must be a member of bellwire_owner, and may select from the table.",
  [SQLSTATE.undefinedTable]: `Name the table with its schema, and in quotes what has capitals: --table 'public."Task"'`,
  [SQLSTATE.undefinedFunction]: "This database has an older release. Run bellwire migrate.",
  [SQLSTATE.invalidSchemaName]: "Bellwire is not installed in this database. Run bellwire migrate.",
};

/** One line a reason: the rule, whether it told, the reason. */
function format(lines: Line[]): string {
  const width = Math.max(...lines.map(({ rule }) => rule?.length ?? 0));
  return lines
    .map(({ rule, told, reason }) =>
      [(rule ?? "").padEnd(width), (told ?? "").padEnd(7), reason].join("  "),
    )
    .join("\n");
}
