import { writeFileSync } from "node:fs";
import { createInstall } from "../dist/migrate/install.js";

// Makes dist/install.sql, for those who install Bellwire inside a migration of their own.
writeFileSync("dist/install.sql", createInstall());
