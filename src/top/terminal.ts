import type { ReadStream, WriteStream } from "node:tty";

const ENTER = "\x1b[?1049h\x1b[?25l"; // the alternate screen, without a cursor
const LEAVE = "\x1b[?25h\x1b[?1049l";
const CTRL_C = "\x03";

export interface Terminal {
  /** Draws over the last screen, without clearing it first, which would flicker. Cuts what does not fit. */
  draw(lines: readonly string[]): void;
}

/**
 * Takes the whole terminal until the process exits, and then gives it back. q, Ctrl-C and signals end the process. In raw mode the
 * terminal passes Ctrl-C on as a key.
 */
export function openTerminal(input: ReadStream, output: WriteStream): Terminal {
  process.once("exit", () => {
    output.write(LEAVE);
    if (input.isTTY) input.setRawMode(false);
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit());
  if (input.isTTY) input.setRawMode(true);
  input.on("data", (keys) => {
    if (["q", "Q", CTRL_C].includes(String(keys))) process.exit();
  });
  output.write(ENTER);

  return {
    draw(lines) {
      const { columns, rows } = output;
      const shown = lines.slice(0, rows).map((line) => `${line.slice(0, columns)}\x1b[K`);
      output.write(`\x1b[H${shown.join("\n")}\x1b[J`);
    },
  };
}
