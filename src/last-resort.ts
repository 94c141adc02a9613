import { spawn } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * Ends this process in `ms` if it has not ended by then, whatever holds it. Nothing of our own could: no timer fires
 * while a write waits, and `process.exit` waits for threads that ask the disk or the resolver, however long. So it is a process of
 * its own, which sees the end of ours by the pipe between them. (The first process of a container cannot be killed
 * from within: there it is for the runtime to do.)
 */
export function endWithin(ms: number): void {
  const script = `(sleep ${Math.ceil(ms / 1000)} && kill -9 "$0") & cat >/dev/null; kill 0`;
  try {
    const child = spawn("/bin/sh", ["-c", script, String(process.pid)], {
      detached: true, // what ends our process group must not end it
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.on("error", ignore);
    child.unref();
    // Where there are no descriptors left it is not there, in spite of its type.
    const stdin = child.stdin as (Writable & { unref?(): void }) | undefined;
    stdin?.on("error", ignore);
    stdin?.unref?.();
  } catch (err) {
    ignore(err);
  }
}

/** Without a shell, memory or descriptors for it there is no last resort, and the end goes on. */
function ignore(_err: unknown) {}
