import { readVersion } from "../version.ts";
import { type MigrationFile, readFiles } from "./files.ts";
import { createPrerequisites, HISTORY, SETTINGS } from "./opening.ts";
import { createFileParts } from "./script.ts";
import { SETTLE } from "./settle.ts";

/**
 * The whole installation as one SQL text, for a migration of the application's own tool. Like `plan` for an empty database; but
 * without `begin` and `commit`, for any user, and it may run again: a tool's shadow database may have the schema, and always has
 * the roles. It leaves the session's settings as they were, because the tool's next statements have them too.
 */
export function createInstall(root?: string): string {
  const files = readFiles(root === undefined ? {} : { root });
  return [
    `-- Installs Bellwire ${readVersion()}, or brings it up to date. Run it in one transaction, as most migration tools do: psql -1 -v ON_ERROR_STOP=1 -f install.sql
`,
    REMEMBER,
    SETTINGS,
    createPrerequisites(),
    HISTORY,
    ...files.flatMap((file) =>
      file.kind === "versioned"
        ? [applyOnce(file)]
        : createFileParts(file, readVersion()).map(({ sql }) => sql),
    ),
    SETTLE,
    RESTORE,
  ].join("\n");
}

/** A versioned file, unless the database has it. */
function applyOnce(file: MigrationFile): string {
  if (file.sql.includes(SQL_TAG) || file.sql.includes(TAG))
    throw new Error(`${file.name} contains ${TAG} or ${SQL_TAG}`);
  const parts = createFileParts(file, readVersion());
  return `do ${TAG}
begin
if not exists (select from bellwire.schema_history where name = '${file.name}') then
${parts.map(({ sql }) => execute(sql)).join("\n")}
end if;
end
${TAG};`;
}

/** So that the server looks at each statement after it has run the one before. */
const execute = (sql: string) => `execute ${SQL_TAG}${sql}${SQL_TAG};`;

const TAG = "$bellwire_once$";
const SQL_TAG = "$bellwire_sql$";

const CHANGED = [...SETTINGS.matchAll(/^set local (\w+)/gm)].map(([, name]) => name);

/** A setting of the transaction, which is gone if the next statement runs in another one. */
const REMEMBER = `do $$
begin
  perform pg_catalog.set_config(
    'bellwire.settings_before',
    (
      select pg_catalog.jsonb_object_agg(name, pg_catalog.current_setting(name))::text
        from pg_catalog.unnest(array['${CHANGED.join("', '")}']) as name
    ),
    true
  );
end
$$;
do $$
begin
  if coalesce(pg_catalog.current_setting('bellwire.settings_before', true), '') = '' then
    raise exception 'this is not one transaction: run it with psql -1, or between begin and commit';
  end if;
end
$$;`;

const RESTORE = `do $$
begin
  perform pg_catalog.set_config(key, value, true)
     from pg_catalog.jsonb_each_text(pg_catalog.current_setting('bellwire.settings_before')::jsonb);
end
$$;
`;
