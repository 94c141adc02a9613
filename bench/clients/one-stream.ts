import { connect } from "node:net";

/**
 * One open connection in this process: an event stream, or a WebSocket, which sends small messages as plain text. Calls `onMessage`
 * for each message of `pgbench.ts`. Resolves when a text that includes `ready` has come.
 */
export async function openOneStream(
  address: string,
  { path, headers = {}, ready }: { path: string; headers?: Record<string, string>; ready: string },
  onMessage: () => void,
): Promise<{ close(): void }> {
  const { port, host } = new URL(address);
  const socket = connect(Number(port), "127.0.0.1");
  const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  socket.write([`GET ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
  await new Promise<void>((resolve, reject) => {
    let head = "";
    socket.on("data", (chunk) => {
      if (chunk.includes("Message ")) onMessage();
      if (head.includes(ready)) return;
      head += chunk.toString("latin1");
      if (head.includes(ready)) resolve();
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`the stream was ended: ${head}`)));
  });
  return { close: () => socket.destroy() };
}
