/**
 * What a check saw. Unless all is well, also why that matters, and the one thing to do. `check` is stable, for scripts: one word or
 * several with underscores, such as `listen` or `rule_trigger_missing`.
 */
export type Finding =
  | { check: string; level: "well"; seen: string }
  | { check: string; level: "look" | "broken"; seen: string; why: string; fix: string };

export type Trouble = { seen: string; why: string; fix: string };

export const well = (check: string, seen: string): Finding => ({ check, level: "well", seen });

/** A person should look at it, while the bell rings. */
export const look = (check: string, trouble: Trouble): Finding => ({
  check,
  level: "look",
  ...trouble,
});

/** The bell does not ring, rings late, or loses rows. */
export const broken = (check: string, trouble: Trouble): Finding => ({
  check,
  level: "broken",
  ...trouble,
});
