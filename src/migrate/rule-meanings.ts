/** Something about one rule for the operator. `seen` continues a sentence that names the rule. */
export type RuleFinding = {
  rule: string;
  /** Stable, so that a script may rely on it. */
  code: RuleCode;
  /** `broken`: it does not tell whom it should. `look`: a person should decide. `note`: nothing has to be done. */
  level: "broken" | "look" | "note";
  seen: string;
  why: string;
  fix: string;
};

export type RuleCode = keyof typeof MEANINGS;

/** What was seen, before it is explained. `fix` replaces the usual one. */
export type Seen = { rule: string; code: RuleCode; seen: string; fix?: string };

const APPLY = "Run bellwire rules apply DIR, or define the rule again.";
const TELLS_NOBODY = "The rule tells nobody.";

/** The codes up to `table_attached` are those of bellwire.rule_faults, those from `not_installed` on compare with a folder. */
const MEANINGS = {
  table_dropped: {
    level: "broken",
    why: TELLS_NOBODY,
    fix: "Define the rule on another table, or drop it: select bellwire.drop_rule('NAME');",
  },
  table_recreated: { level: "broken", why: TELLS_NOBODY, fix: APPLY },
  table_swapped: {
    level: "broken",
    why: "The rule fires for the old table, and not for the new one.",
    fix: APPLY,
  },
  trigger_missing: { level: "broken", why: TELLS_NOBODY, fix: APPLY },
  trigger_disabled: {
    level: "look",
    why: "Somebody did that on purpose; until it is enabled, the rule tells nobody.",
    fix: "Enable the trigger (alter table … enable trigger …), or drop the rule: select bellwire.drop_rule('NAME');",
  },
  function_edited: {
    level: "broken",
    why: "The rule does not do what its query says.",
    fix: APPLY,
  },
  function_owner: {
    level: "broken",
    why: "The rule skips every write with a warning, because it may run as bellwire_rules only.",
    fix: APPLY,
  },
  table_attached: {
    level: "broken",
    why: "A statement trigger fires only for statements that name its own table.",
    fix: "Define the rule on the whole table, in its file too.",
  },
  query_unfit: {
    level: "broken",
    why: "The rule fails at the next write.",
    fix: "Correct the query and define the rule again.",
  },
  function_outdated: {
    level: "broken",
    why: "The rule compares ids by the types that its columns had, so it may fail.",
    fix: APPLY,
  },
  failing: {
    level: "look",
    why: "Whom these writes concern was not told.",
    fix: "Correct the cause. Then forget the errors, as a member of bellwire_owner: delete from bellwire.rule_error_log where rule = 'NAME';",
  },
  limited: {
    level: "note",
    why: "A statement trigger fires only for statements that name its own table.",
    fix: "Nothing, if no statement does that.",
  },
  not_checked: {
    level: "note",
    why: "What is wrong with it would not be seen.",
    fix: "Run the command again, as a member of bellwire_owner, on the primary.",
  },
  not_installed: {
    level: "look",
    why: "It tells nobody yet.",
    fix: "Run bellwire rules apply DIR.",
  },
  differs: {
    level: "look",
    why: "The database does not do what the file says.",
    fix: "Run bellwire rules apply DIR.",
  },
  not_in_folder: {
    level: "look",
    why: "A rule whose file was deleted or renamed stays installed.",
    fix: "Drop it: select bellwire.drop_rule('NAME'); or name its folder too.",
  },
  file_failed: {
    level: "look",
    why: "bellwire rules apply DIR would fail in the same way, and change nothing.",
    fix: "Correct the file.",
  },
} as const satisfies Record<string, Pick<RuleFinding, "level" | "why" | "fix">>;

export function explain({ rule, code, seen, fix }: Seen): RuleFinding {
  const { level, why, fix: usual } = MEANINGS[code];
  return { rule, code, level, seen, why, fix: fix ?? usual.replace("NAME", () => quote(rule)) };
}

/** Whether defining the rule once more, unchanged, mends it. */
export const isMendable = ({ code }: RuleFinding): boolean => MEANINGS[code].fix === APPLY;

export const dropRule = (rule: string) => `select bellwire.drop_rule('${quote(rule)}');`;

const quote = (rule: string) => rule.replaceAll("'", "''");
