import { resolve } from "node:path";
import { hasSqlFiles } from "../migrate/files.ts";
import { say } from "./say.ts";

/**
 * The folders of SQL files that a command was given. One without any may be right, as before the first rule. But it may also be the
 * wrong folder, so the command says it.
 */
export function namedFolders(args: readonly string[]): string[] {
  const folders = args.map((folder) => resolve(folder));
  for (const folder of folders)
    if (!hasSqlFiles(folder)) say(`The folder ${folder} has no .sql file.`);
  return folders;
}
