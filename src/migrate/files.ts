import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MigrationError } from "./error.ts";

/** The folder of migrations/ and sql/. It is as far from src/migrate/ as from dist/migrate/. */
export const PACKAGE_ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Our repeatable files, in this order. An application, a DBA or an operator may call the public ones. */
const SQL_FOLDERS = ["sql/internal", "sql/public"];

/** Versioned: applied once, in order, never edited. Repeatable: applied again when it, or a file that it requires, changes. */
export type MigrationKind = "versioned" | "repeatable";

export type MigrationFile = {
  /** The path from the package root, the same on every machine: `sql/public/notify.sql`. */
  name: string;
  kind: MigrationKind;
  sql: string;
  /** sha256 of `sql`. */
  checksum: string;
  /** The names of the files that it requires. */
  requires: string[];
  /** From a folder that the caller named, not from migrations/ or sql/. */
  isFurther: boolean;
};

export type FileOptions = {
  /** Further folders of repeatable files, relative to `root` or absolute. Outside `root` a file is named after its folder. */
  folders?: string[];
  root?: string;
};

/** All files, in the order in which an empty database gets them. */
export function readFiles({ folders = [], root = PACKAGE_ROOT }: FileOptions): MigrationFile[] {
  const files = [
    ...readVersioned(root),
    ...readRepeatable(root, SQL_FOLDERS),
    ...folders.flatMap((folder) => readRepeatable(root, [folder]).map(asFurther)),
  ];
  const names = files.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  // The history identifies a file by its name, so each run would apply both files again.
  if (twice)
    throw new MigrationError(
      `Two folders have a file ${twice}. Rename one of the folders or files.`,
    );
  return files;
}

function asFurther(file: MigrationFile): MigrationFile {
  return { ...file, isFurther: true };
}

export function readVersioned(root = PACKAGE_ROOT): MigrationFile[] {
  const files = readFolder(root, "migrations", "versioned");
  const numbers = files.map(({ name }) => {
    const number = /\/(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1];
    if (!number) throw new MigrationError(`${name} is not named like 0001_what.sql. Rename it.`);
    return number;
  });
  const twice = files.find((_, i) => numbers[i] === numbers[i + 1]);
  if (twice)
    throw new MigrationError(
      `Two files have the number of ${twice.name}. Give one the next number.`,
    );
  return files;
}

/**
 * Folder by folder, and by name within each. A line `-- requires: other.sql` puts a file after the other one, which may be in
 * any of the folders.
 */
function readRepeatable(root: string, folders: string[]): MigrationFile[] {
  const files = folders.flatMap((folder) => readFolder(root, folder, "repeatable"));
  const ordered = new Set<MigrationFile>();

  function place(file: MigrationFile, path: string[]): void {
    if (path.includes(file.name)) {
      throw new MigrationError(`Files require each other: ${[...path, file.name].join(" → ")}.`);
    }
    if (ordered.has(file)) return;
    for (const [, wanted] of file.sql.matchAll(/^-- requires: *(\S+)$/gm)) {
      const required = files.find(({ name }) => basename(name) === wanted);
      if (!required) {
        throw new MigrationError(
          `${file.name} requires ${wanted}, which is not in ${folders.join(" or ")}.`,
        );
      }
      place(required, [...path, file.name]);
      file.requires.push(required.name);
    }
    ordered.add(file);
  }

  for (const file of files) place(file, []);
  return [...ordered];
}

function readFolder(root: string, folder: string, kind: MigrationKind): MigrationFile[] {
  const path = resolve(root, folder);
  const inside = relative(root, path);
  const label = inside.startsWith("..") ? basename(path) : inside;
  return readSqlNames(path)
    .sort()
    .map((file) => readFile(join(path, file), `${label}/${file}`.replaceAll("\\", "/"), kind));
}

export const hasSqlFiles = (folder: string): boolean => readSqlNames(folder).length > 0;

function readSqlNames(path: string): string[] {
  try {
    return readdirSync(path).filter((file) => file.endsWith(".sql"));
  } catch (cause) {
    throw new MigrationError(`Cannot read the folder ${path}. Name a folder of SQL files.`, {
      cause,
    });
  }
}

function readFile(path: string, name: string, kind: MigrationKind): MigrationFile {
  // A checkout with CRLF line ends must not look like an edited one. PostgreSQL takes a byte order mark for a word.
  const sql = readFileSync(path, "utf8")
    .replace(/^\uFEFF/, "")
    .replaceAll("\r\n", "\n");
  // Only at the start of a line, because an indented `commit;` may belong to a procedure.
  if (/^(begin|start transaction|commit|rollback|abort)( work| transaction)?;/im.test(sql)) {
    throw new MigrationError(
      `${name} begins or ends a transaction. Remove that: migrate runs all files in one transaction.`,
    );
  }
  const checksum = createHash("sha256").update(sql).digest("hex");
  return { name, kind, sql, checksum, requires: [], isFurther: false };
}
