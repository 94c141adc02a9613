import { connect } from "node:net";
import { closeAfterTest } from "./close-after-test.ts";

export interface Answer {
  status: number;
  /** Its Content-Type. */
  type: string | undefined;
  body: string;
}

export type RawConnection = ReturnType<typeof openConnection>;

/** A connection to a local port that sends any bytes, valid or not, and keeps everything that it receives. */
export function openConnection(port: number) {
  const openedAt = performance.now();
  const socket = connect({ host: "127.0.0.1", port });
  const checks = new Set<() => void>();
  let heard = "";
  let isClosed = false;

  function check() {
    for (const fits of checks) fits();
  }

  socket.on("data", (bytes) => {
    heard += bytes.toString("latin1");
    check();
  });
  socket.on("error", () => {}); // "close" follows
  const closed = new Promise<number>((resolve) => {
    socket.on("close", () => {
      isClosed = true;
      check();
      resolve(performance.now() - openedAt);
    });
  });

  /** Resolves when the received text fits, or the connection has closed. */
  function until(fits: (heard: string) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        if (!isClosed && !fits(heard)) return;
        checks.delete(settle);
        resolve();
      };
      checks.add(settle);
      settle();
    });
  }

  async function close(): Promise<void> {
    socket.destroy();
    await closed;
  }
  closeAfterTest(close);

  return {
    /** Resolves also if the connection fails. */
    connected: new Promise<void>((resolve) => {
      socket.on("connect", () => resolve()).on("close", () => resolve());
    }),
    say: (text: string) => void socket.write(text),
    heard: () => heard,
    until,
    /** Sends the text. Resolves with its answer, or undefined if the connection ends before. */
    async ask(text: string): Promise<Answer | undefined> {
      const start = heard.length;
      socket.write(text);
      await until(() => parseAnswer(heard.slice(start)) !== undefined);
      return parseAnswer(heard.slice(start));
    },
    isOpen: () => !isClosed,
    /** Resolves with the time that it was open, in milliseconds. */
    closed,
    close,
  };
}

/** Undefined while it is incomplete. */
export function parseAnswer(heard: string): Answer | undefined {
  const end = heard.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = heard.slice(0, end);
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
  const body = heard.slice(end + 4, end + 4 + length);
  if (body.length < length) return undefined;
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  return { status, type: /^content-type: (.*)$/im.exec(head)?.[1], body };
}
