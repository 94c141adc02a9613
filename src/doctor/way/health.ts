import { broken, type Finding, look, well } from "../finding.ts";
import { toObject } from "./events.ts";
import { isOurs } from "./proxy.ts";
import { isFailure } from "./request.ts";
import type { Site } from "./site.ts";

const DATABASE_SIDE =
  "Examine the database's side, with the service's DATABASE_URL: bellwire doctor";

/** `/readyz`, where the proxy passes it on: what the service says of itself. */
export async function checkHealth(site: Pick<Site, "askRoot">): Promise<Finding[]> {
  const answer = await site.askRoot("/readyz");
  if (isFailure(answer) || !isOurs(answer)) return [];
  const { problems, warnings } = toObject(answer.body);
  const found = [
    ...sentences(problems).map((seen) =>
      broken("readyz", {
        seen: `the service says that it is not ready: ${seen}`,
        why: "It refuses streams until that is over.",
        fix: DATABASE_SIDE,
      }),
    ),
    ...sentences(warnings).map((seen) =>
      look("readyz", {
        seen: `the service warns: ${seen}`,
        why: "It works, and this needs a person.",
        fix: DATABASE_SIDE,
      }),
    ),
  ];
  return found.length > 0 ? found : [well("readyz", "the service says that it is ready")];
}

const sentences = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** During a rolling restart there are two. For longer, an old instance was left. */
export function checkVersions(versions: ReadonlySet<string>): Finding[] {
  if (versions.size === 0) return [];
  const names = [...versions].sort().join(" and ");
  if (versions.size === 1) return [well("version", `the service is ${names}`)];
  return [
    look("version", {
      seen: `two versions answer in turn: ${names}`,
      why: "A rolling restart that goes on looks like this. If it is over, an old instance still runs, with old settings.",
      fix: "If no deployment runs now, stop the old instance: look for the second target of the balancer, or a second process (ss -ltnp).",
    }),
  ];
}
