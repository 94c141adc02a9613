import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { requireNode } from "../src/node-version.ts";

const { engines } = JSON.parse(readFileSync("package.json", "utf8")) as {
  engines: { node: string };
};
const minimum = engines.node.replace(">=", "");

test("the Node of package.json and later ones are enough", () => {
  for (const version of [`${minimum}.0`, "20.20.2", "22.0.0", "26.1.0"]) requireNode(version);
});

test("an older one is named, with the one that is needed", () => {
  for (const version of ["18.20.8", "20.18.3", "16.19.0"])
    expect(() => requireNode(version)).toThrow(
      `Bellwire needs Node ${minimum} or later. This is Node ${version}.`,
    );
});
