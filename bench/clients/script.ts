import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Starts a TypeScript file of ours as a process of its own, with a channel for messages. */
export const spawnScript = (file: URL, args: string[] = []): ChildProcess =>
  fork(fileURLToPath(file), args, { execArgv: ["--import", "tsx"] });
