/** How a command ends; 0 is well. Also for scripts: these numbers do not change. */
export const EXIT = {
  /** It worked, and found something that a person should look at. */
  look: 1,
  /** It found something broken, it failed, or it was called wrongly. */
  broken: 2,
  /** The environment is wrong, so that a restart does not help: EX_CONFIG of sysexits.h. */
  settings: 78,
} as const;
