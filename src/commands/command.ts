import type { ParseArgsConfig } from "node:util";
import { parseArgs } from "node:util";
import type { EXIT } from "../exit-code.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;

type Values<Given extends Options> = ReturnType<
  typeof parseArgs<{ options: Given; allowPositionals: true }>
>["values"];

/** What a command prints, and how it exits. */
export interface Outcome {
  text: string;
  exitCode?: (typeof EXIT)[keyof typeof EXIT];
}

export interface Command {
  /** What `--help` prints: the form of the call first. */
  help: string;
  /** Parses the arguments after the command's name, and runs it. */
  run(args: string[]): Promise<Outcome | undefined>;
}

/** The command was called wrongly. The message is printed with the command's help. */
export class UsageError extends Error {
  readonly help: string;
  constructor(message: string, help: string) {
    super(message);
    this.help = help;
  }
}

/** A command with these options. `run` throws with `misuse` if the arguments do not fit. */
export function createCommand<const Given extends Options>({
  help,
  options,
  run,
}: {
  help: string;
  options?: Given;
  run(call: {
    args: string[];
    values: Values<Given>;
    misuse: (why: string) => never;
  }): Promise<Outcome | undefined>;
}): Command {
  function misuse(why: string): never {
    throw new UsageError(why, help);
  }
  function parse(args: string[]) {
    try {
      return parseArgs({ args, options: { ...(options as Given) }, allowPositionals: true });
    } catch (err) {
      return misuse(err instanceof Error ? err.message : String(err));
    }
  }
  return {
    help,
    async run(given) {
      const { positionals, values } = parse(given);
      return run({ args: positionals, values: values as Values<Given>, misuse });
    },
  };
}
