import { spawn } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * Kills this process after `ms` if it has not ended by then. It cannot do that itself: no timer fires while a write blocks, and
 * `process.exit` waits for threads that wait for the disk or the DNS resolver. So a second process does it. That process ends itself
 * when the pipe between them closes, which happens when this one ends. (Process 1 of a container cannot be killed from inside; there
 * the container runtime must do it.)
 */
export function killAfter(ms: number): void {
  const script = `(sleep ${Math.ceil(ms / 1000)} && kill -9 "$0") & cat >/dev/null; kill 0`;
  try {
    const child = spawn("/bin/sh", ["-c", script, String(process.pid)], {
      detached: true, // a signal to our process group must not end it
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.on("error", ignore);
    child.unref();
    // Without free descriptors it is undefined, in spite of its type.
    const stdin = child.stdin as (Writable & { unref?(): void }) | undefined;
    stdin?.on("error", ignore);
    stdin?.unref?.();
  } catch (err) {
    ignore(err);
  }
}

/** Without a shell, memory or descriptors the shutdown continues without a last resort. */
function ignore(_err: unknown) {}
