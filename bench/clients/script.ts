import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Starts one of our TypeScript files as a process, with a channel for messages. */
export const spawnScript = (file: URL, args: string[] = []): ChildProcess =>
  fork(fileURLToPath(file), args, { execArgv: ["--import", "tsx"] });
