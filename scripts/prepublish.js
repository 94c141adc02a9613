import { readFileSync } from "node:fs";

// Where the repository's owner is written. OWNER is a placeholder until there is one.
const FILES = ["package.json", ".github/ISSUE_TEMPLATE/config.yml"];

const open = FILES.filter((file) => /github\.com\/OWNER\b/.test(readFileSync(file, "utf8")));
if (open.length > 0) {
  console.error(
    `OWNER is a placeholder. Put the owner of the repository in its place in ${open.join(" and ")}, then publish.`,
  );
  process.exitCode = 1;
}
