export type Instruction = [name: string, value: string];

export type Stage = { name: string; from: string; instructions: Instruction[] };

/** A Dockerfile's stages; continued lines are joined, comments left out, and every RUN's mounts. */
export function readStages(text: string) {
  const lines = text
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .join("\n")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n");
  const stages: Stage[] = [{ name: "", from: "", instructions: [] }];
  for (const line of lines.filter((line) => line.trim() !== "")) {
    const [, name = "", value = ""] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (!name) throw new Error(`not an instruction: ${line}`);
    if (name === "FROM") {
      const [, from = "", as = ""] = /^(\S+) AS (\S+)$/.exec(value) ?? [];
      stages.push({ name: as, from, instructions: [] });
    } else stages.at(-1)?.instructions.push([name, value.replaceAll(/--mount=\S+ /g, "")]);
  }
  const [before, ...rest] = stages;
  rest[0]?.instructions.unshift(...(before?.instructions ?? []));
  return rest;
}

/** What the image sets for its process. */
export function imageEnvironment(stages: readonly Stage[]): Record<string, string> {
  const pairs = (stages.at(-1)?.instructions ?? [])
    .filter(([name]) => name === "ENV")
    .flatMap(([, value]) => value.split(" ").map((pair) => pair.split("=") as [string, string]));
  return Object.fromEntries(pairs);
}
