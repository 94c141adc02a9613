import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

const page = read("docs/frontend.md");
const element = (file: string) => read(`packages/client/src/element/${file}.ts`);

/** Each once, sorted. */
const all = (text: string, pattern: RegExp) =>
  [...new Set([...text.matchAll(pattern)].map(([, found = ""]) => found))].sort();

test("docs/frontend.md has every CSS variable of the element, with its default", () => {
  const styles = element("styles");
  const rows = [...page.matchAll(/^\| `(--bell-\w[\w-]*)` \| `(.+?)` \|/gm)];
  expect(rows.map(([, name]) => name).sort()).toEqual(all(styles, /var\((--bell-[\w-]+)/g));
  for (const [, name, value] of rows) expect(styles).toContain(`var(${name}, ${value})`);
});

test("it has every part of the element", () => {
  const [, parts = ""] = /::part\(badge\) \{ … \}`: (.*?);/.exec(page) ?? [];
  const sources = ["view", "panel", "row", "card", "toasts"].map(element).join("\n");
  expect(all(parts, /`(\w+)`/g)).toEqual(all(sources, /\bpart(?:\.add\(|: )"(\w+)"/g));
});

test("it has every key of the texts", () => {
  const [, keys = ""] = /^Keys of `texts`: ([\s\S]*?) with a text/m.exec(page) ?? [];
  const [, english = ""] =
    /const ENGLISH: Texts = \{\n([\s\S]*?)^\};/m.exec(element("texts")) ?? [];
  expect(all(keys, /`(\w+)`/g)).toEqual(all(english, /^ {2}(\w+):/gm));
});

test("it has every attribute and event of the element", () => {
  const source = read("packages/client/src/element.ts");
  const [, attributes = ""] = /observedAttributes = \[(.*)\]/.exec(source) ?? [];
  const section = page.split("\n## The element\n")[1]?.split("\n## ")[0] ?? "";
  const [table = "", properties = ""] = section.split("| property, method |");
  expect(all(table, /^\| `(\w+)` \|/gm)).toEqual(all(attributes, /"(\w+)"/g));
  expect(all(properties, /^\| `(\w+)(?:\(\))?` \| [^`]/gm)).toEqual(
    expect.arrayContaining(["reconnect", "templates", "texts"]),
  );
  expect(all(section, /^\| `(bell-\w+)` \|/gm)).toEqual(
    all(element("view"), /emit\("(bell-\w+)"/g),
  );
});

test("it has every status, option, verb and kind of failure of the bell", () => {
  const sectionOf = (heading: string) =>
    page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const [, statuses = ""] =
    /export type Status = (.*);/.exec(read("packages/client/src/keep-trying.ts")) ?? [];
  expect(all(sectionOf("Status"), /^\| `(\w+)` \|/gm)).toEqual(all(statuses, /"(\w+)"/g));

  const bell = sectionOf("createBell");
  const recipient = read("packages/client/src/recipient.ts");
  const fieldsOf = (name: string) =>
    all(
      new RegExp(`export interface ${name} \\{([\\s\\S]*?)^\\}`, "m").exec(recipient)?.[1] ?? "",
      /^ {2}(?:readonly )?(\w+)\??:/gm,
    );
  expect(all(bell, /^\| `(\w+)` \|/gm)).toEqual(fieldsOf("BellOptions"));
  const [, snapshot = ""] = /gives `\{ (.*?) \}`/.exec(bell) ?? [];
  expect(snapshot.split(", ").sort()).toEqual(fieldsOf("BellSnapshot"));

  const [, returned = ""] =
    /\n {2}return \{\n([\s\S]*?)\n {2}\};/.exec(read("packages/client/src/bell.ts")) ?? [];
  const verbs = all(returned, /^ {4}(\w+)(?::|,)/gm);
  expect(verbs.length).toBeGreaterThan(10);
  for (const verb of verbs) expect(bell).toContain(`\`${verb}(`);
  const [, kinds = ""] =
    /export type FailureKind = (.*);/.exec(read("packages/client/src/api.ts")) ?? [];
  for (const kind of all(kinds, /"(\w+)"/g)) expect(bell).toContain(`\`${kind}\``);
});
