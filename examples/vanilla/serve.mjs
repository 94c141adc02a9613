// Stands for your site: serves the page, and signs its visitor in as user 2 by a cookie. The token is from the demo of `npm start`.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const root = `${import.meta.dirname}/../..`;
const token = execFileSync("node", ["dist/cli.js", "token", "2"], { cwd: root }).toString().trim();

createServer((_request, response) => {
  response.setHeader("Set-Cookie", `session=${token}; HttpOnly; SameSite=Lax; Path=/`);
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(readFileSync(`${import.meta.dirname}/index.html`));
}).listen(8080, "127.0.0.1", () => console.log("http://localhost:8080"));
