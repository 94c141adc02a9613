import type { ClientBase } from "pg";
import { MigrationError } from "../../migrate/error.ts";
import { type MigrationFile, readFiles } from "../../migrate/files.ts";
import { findPending } from "../../migrate/pending.ts";
import { type DatabaseState, type FunctionDrift, readState } from "../../migrate/state.ts";
import { broken, type Finding, look, well } from "../finding.ts";
import { plural } from "../plural.ts";

export interface Able {
  database: string;
  isInstalled: boolean;
  /** What the login may see: anything in the schema, and the checksums of functions. */
  mayLook: boolean;
  maySeeFunctions: boolean;
}

/** What this login may see of Bellwire in the database. */
export async function readAble(client: ClientBase): Promise<Able> {
  const { rows } = await client.query<Able>(ABLE);
  const [able] = rows;
  if (!able) throw new Error("an aggregate returned no row");
  return able;
}

/** Whether the database has what this release needs, as it installed it. */
export async function checkSchema(client: ClientBase, able: Able): Promise<Finding[]> {
  if (!able.isInstalled) return [notInstalled(able.database)];
  if (!able.mayLook) return []; // what the login lacks is a finding of its own
  const files = readFiles({});
  const state = able.maySeeFunctions ? await readState(client) : await readHistory(client);
  const found = [
    ...compare(files, state),
    ...state.drift.filter(({ name }) => !OF_A_RULE.test(name)).map(describeDrift),
  ];
  if (found.length > 0) return found;
  const byHand = able.maySeeFunctions
    ? "nothing was edited by hand"
    : "edits by hand are shown only to a member of bellwire_owner";
  return [well("schema", `as this release needs it (${plural(files.length, "file")}); ${byHand}`)];
}

/** A rule's function. Its edit is a finding about the rule. */
const OF_A_RULE = /^bellwire\.rule_\w+\(\)$/;

const notInstalled = (database: string) =>
  broken("schema", {
    seen: `database ${database} has no Bellwire: there is no schema bellwire with a history`,
    why: "The service does not start on it.",
    fix: "If this is the right database: bellwire migrate DIR, where DIR has your rules. Otherwise correct the end of DATABASE_URL.",
  });

/** The service's login sees which files were applied, but not the checksums of functions. */
async function readHistory(client: ClientBase): Promise<DatabaseState> {
  const { rows: history } = await client.query(
    `select name, kind, checksum, applied_at as "appliedAt" from bellwire.schema_history order by name collate "C"`,
  );
  return { history, strays: [], drift: [], lostRules: [] };
}

function compare(files: MigrationFile[], state: DatabaseState): Finding[] {
  try {
    // What was edited by hand is a finding of its own.
    return describePending(findPending(files, { ...state, drift: [] }));
  } catch (err) {
    if (!(err instanceof MigrationError)) throw err;
    const [seen = "", ...fix] = err.message.split("\n");
    return [
      look("schema", {
        seen,
        why: "The database and this release of Bellwire do not belong together.",
        fix: fix.join("\n") || seen,
      }),
    ];
  }
}

function describePending(pending: MigrationFile[]): Finding[] {
  if (pending.length === 0) return [];
  const names = pending.map(({ name }) => name);
  const trouble = {
    seen: `older than this release: ${few(names)} not applied`,
    fix: "bellwire migrate DIR, where DIR has your rules; to read the SQL first: bellwire plan DIR",
  };
  if (pending.some(({ kind }) => kind === "versioned"))
    return [broken("schema", { ...trouble, why: "The service does not start on it." })];
  return [look("schema", { ...trouble, why: "The service may call a function as it was before." })];
}

const few = (names: string[]) =>
  names.length > 3
    ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`
    : names.join(", ");

const DRIFT: Record<FunctionDrift["state"], { seen: string; why: string; fix: string }> = {
  edited: {
    seen: "was edited by hand",
    why: "It may no longer do what the service and the rules expect.",
    fix: "bellwire migrate writes it anew. If the edit is needed, report it.",
  },
  missing: {
    seen: "was dropped",
    why: "What calls it fails.",
    fix: "bellwire migrate creates it again.",
  },
  unknown: {
    seen: "is not Bellwire's",
    why: "A function in schema bellwire may hide or break one of a later release.",
    fix: "Move it to a schema of your own, or drop it.",
  },
};

function describeDrift({ name, state }: FunctionDrift): Finding {
  const { seen, why, fix } = DRIFT[state];
  const find = state === "missing" ? broken : look;
  return find("schema", { seen: `${name} ${seen}`, why, fix });
}

/** Without to_regclass(), which is an error in a schema that the login may not use. */
const ABLE = `
select current_database() as database,
       count(*) filter (where c.relname = 'schema_history') = 1 as "isInstalled",
       coalesce(bool_and(has_schema_privilege(c.relnamespace, 'usage')), false) as "mayLook",
       coalesce(
         bool_and(has_schema_privilege(c.relnamespace, 'usage') and has_table_privilege(c.oid, 'select')),
         false
       ) as "maySeeFunctions"
  from pg_class c
 where c.relnamespace = (select oid from pg_namespace where nspname = 'bellwire')
   and c.relname in ('schema_history', 'schema_functions', 'rule_definitions')`;
