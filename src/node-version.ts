/** The oldest Node that has what the service uses; `engines` of package.json says the same. */
const MINIMUM = [20, 19] as const;

/** An older Node would end with the name of a function that it lacks. npm only warns. */
export function requireNode(version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])) return;
  throw new Error(`Bellwire needs Node ${MINIMUM.join(".")} or later. This is Node ${version}.`);
}
