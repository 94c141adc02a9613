import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { typesOf } from "../../../scripts/dev/openapi-types.ts";

const NAMES = ["Notification", "Change", "List", "Poll", "StateEvent", "Preferences"];

test("src/wire.ts has the types of docs/openapi.json; `npx vitest run packages/client/test/wire.unit.test.ts -u` writes it", async () => {
  const path = new URL("../../../docs/openapi.json", import.meta.url);
  const types = typesOf(JSON.parse(await readFile(path, "utf8")), NAMES);
  const head =
    "/** The service's JSON. Made from docs/openapi.json by test/wire.unit.test.ts. */\n";
  await expect(`${head}\n${types}`).toMatchFileSnapshot("../src/wire.ts");
});
