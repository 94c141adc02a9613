import { readFileSync } from "node:fs";

// Where the repository's owner is written. OWNER is a placeholder until there is one. test/deploy.unit.test.ts keeps the list whole.
const FILES = [
  "package.json",
  "packages/client/package.json",
  "packages/react/package.json",
  ".github/ISSUE_TEMPLATE/config.yml",
  "deploy/monitoring/alerts.yaml",
  "deploy/systemd/bellwire.service",
  "docs/deploy.md",
];

const open = FILES.filter((file) => /github\.com\/OWNER\b/.test(readFileSync(file, "utf8")));
if (open.length > 0) {
  console.error(
    `OWNER is a placeholder. Put the owner of the repository in its place in ${open.join(", ")}, then publish.`,
  );
  process.exitCode = 1;
}
