import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect, test } from "vitest";

const UNIT = "deploy/systemd/bellwire.service";
const PROGRAM = "/usr/bin/systemd-analyze";

/** systemd's scale: 0 to 20 is "safe" or "OK". */
const EXPOSURE = 20;

test.skipIf(!existsSync(PROGRAM)).each([
  { what: "is valid", args: ["verify", UNIT] },
  {
    what: "gives the service little to do harm with",
    args: ["security", "--offline=yes", `--threshold=${EXPOSURE}`, UNIT],
  },
])("the unit $what", ({ args }) => {
  const { status, stderr } = spawnSync(PROGRAM, args, { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
