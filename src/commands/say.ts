import { createOutput } from "../output.ts";

/** A line about a command that still runs. Not on standard output, which has the result. */
export const say = (line: string): void => createOutput(2).write(`${line}\n`);
