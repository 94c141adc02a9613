import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeAfterTest } from "./close-after-test.ts";

export type Network = ReturnType<typeof createNetwork>;

/** A network namespace that is connected only to this machine. It is removed when the test ends. */
export function createNetwork() {
  const name = `bellwire-${process.pid}`;
  // An interface name has at most 15 characters.
  const [here, there] = [`bwh${process.pid}`, `bwt${process.pid}`];
  // From the range for benchmarks (RFC 2544).
  const address = (last: number) => `198.18.${process.pid % 256}.${last}`;
  closeAfterTest(async () => {
    for (const args of [
      ["link", "delete", here],
      ["netns", "delete", name],
    ])
      tryIp(...args);
  });
  ip("netns", "add", name);
  ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name);
  ip("address", "add", `${address(1)}/30`, "dev", here);
  ip("link", "set", here, "up");
  ip("-netns", name, "address", "add", `${address(2)}/30`, "dev", there);
  ip("-netns", name, "link", "set", there, "up");
  return {
    name,
    /** This machine's IP address in that network. */
    host: address(1),
    /** From now on no packet passes, so neither end learns that a connection has ended. */
    setDown: () => ip("-netns", name, "link", "set", there, "down"),
  };
}

/** It needs root and the program `ip`. */
export function canMakeNetwork(): boolean {
  const name = `bellwire-probe-${process.pid}`;
  return tryIp("netns", "add", name) && tryIp("netns", "delete", name);
}

const CLIENT = `
  const { connect } = require("node:net");
  const { host, port, requests } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  for (const request of requests) connect(port, host).resume().write(request);
`;

/** Starts a process in the network that sends each request over a new connection and keeps them open. */
export function sendFrom(network: Network, port: number, requests: readonly string[]): void {
  const child = spawn("ip", ["netns", "exec", network.name, process.execPath, "-e", CLIENT], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  child.stdin.end(JSON.stringify({ host: network.host, port, requests }));
  const ended = once(child, "exit");
  closeAfterTest(async () => {
    child.kill("SIGKILL");
    await ended;
  });
}

const ip = (...args: string[]) => void execFileSync("ip", args, { stdio: "pipe" });

function tryIp(...args: string[]): boolean {
  try {
    ip(...args);
    return true;
  } catch {
    return false; // no such program, no right, or no such interface
  }
}
