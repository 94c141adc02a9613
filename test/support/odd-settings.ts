/** Runs before the settings: the function that their `search_path` finds. People freeze the time like this in their tests. */
export const OVERRIDE = `
  create schema override;
  grant usage on schema override to public;
  create function override.now() returns timestamptz stable return timestamptz '2001-01-01 00:00:00+00'`;

/**
 * Settings of a database or a login, each with an unusual value. Each of these alone could change how a value is printed, how a text is
 * read, or a result.
 */
export const ODD_FORMS: Record<string, string> = {
  DateStyle: "'SQL, DMY'",
  IntervalStyle: "iso_8601",
  TimeZone: "'Asia/Kathmandu'",
  timezone_abbreviations: "'India'",
  bytea_output: "escape",
  extra_float_digits: "-15",
  xmlbinary: "hex",
  xmloption: "document",
  standard_conforming_strings: "off",
  backslash_quote: "on",
  escape_string_warning: "off",
  array_nulls: "off",
  transform_null_equals: "on",
  default_transaction_isolation: "'serializable'",
  quote_all_identifiers: "on",
  search_path: "override, pg_catalog",
  client_encoding: "'LATIN1'",
  "plpgsql.variable_conflict": "use_variable",
  "plpgsql.extra_errors": "'all'",
};

/** These change a plan, and so the order of unordered rows and the time; or what a session may do, and which messages it gets. */
const ODD_OTHERS: Record<string, string> = {
  client_min_messages: "debug1",
  default_transaction_deferrable: "on",
  check_function_bodies: "off",
  row_security: "off",
  createrole_self_grant: "'set, inherit'",
  event_triggers: "off",
  composite_type_mismatch: "disabled",
  "plpgsql.extra_warnings": "'all'",
  "plpgsql.check_asserts": "off",
  "plpgsql.print_strict_params": "on",
  default_text_search_config: "'simple'",
  gin_fuzzy_search_limit: "1",
  synchronous_commit: "local",
  synchronize_seqscans: "off",
  statement_timeout: "'9s'",
  lock_timeout: "'7s'",
  idle_in_transaction_session_timeout: "'5s'",
  transaction_timeout: "'8s'",
  deadlock_timeout: "'100ms'",
  vacuum_freeze_min_age: "0",
  stats_fetch_consistency: "snapshot",
  track_activities: "off",
  // Only the sequential scan and the merge join are left.
  enable_async_append: "off",
  enable_bitmapscan: "off",
  enable_distinct_reordering: "off",
  enable_gathermerge: "off",
  enable_group_by_reordering: "off",
  enable_hashagg: "off",
  enable_hashjoin: "off",
  enable_incremental_sort: "off",
  enable_indexonlyscan: "off",
  enable_indexscan: "off",
  enable_material: "off",
  enable_memoize: "off",
  enable_nestloop: "off",
  enable_parallel_append: "off",
  enable_parallel_hash: "off",
  enable_partition_pruning: "off",
  enable_partitionwise_aggregate: "on",
  enable_partitionwise_join: "on",
  enable_presorted_aggregate: "off",
  enable_self_join_elimination: "off",
  enable_sort: "off",
  enable_tidscan: "off",
  constraint_exclusion: "on",
  cursor_tuple_fraction: "1",
  default_statistics_target: "1",
  from_collapse_limit: "1",
  join_collapse_limit: "1",
  plan_cache_mode: "force_generic_plan",
  recursive_worktable_factor: "1000",
  geqo_effort: "1",
  geqo_generations: "1",
  geqo_pool_size: "2",
  geqo_seed: "0.5",
  geqo_selection_bias: "1.5",
  geqo_threshold: "2",
  cpu_index_tuple_cost: "1",
  cpu_operator_cost: "0",
  cpu_tuple_cost: "1",
  effective_cache_size: "'8kB'",
  random_page_cost: "1000",
  seq_page_cost: "0",
  debug_parallel_query: "on",
  force_parallel_mode: "on",
  max_parallel_workers_per_gather: "4",
  min_parallel_index_scan_size: "0",
  min_parallel_table_scan_size: "0",
  parallel_leader_participation: "off",
  parallel_setup_cost: "0",
  parallel_tuple_cost: "0",
  work_mem: "'64kB'",
  hash_mem_multiplier: "1",
};

export const ODD: Record<string, string> = { ...ODD_FORMS, ...ODD_OTHERS };

/**
 * All other settings that pg_settings calls settable, and why they have no odd value. A prefix stands only for a family whose members
 * can never matter. Every other name is written out, so that a new setting of PostgreSQL is in neither table until somebody
 * has looked at it.
 */
export const NO_MATTER: [names: RegExp, why: string][] = [
  [/^(log|trace|debug_print)_|^debug_pretty_print$/, "what the server logs"],
  [/^(backtrace_functions|update_process_title|compute_query_id)$/, "what it says of itself"],
  [/^track_/, "what it counts of itself"],
  [/^application_name$/, "the service's connections bring their own, which counts for more"],
  [
    /^(vacuum|tcp|commit)_|^wal_(?!sender)/,
    "how it cleans up, writes its log, keeps connections, gathers commits",
  ],
  [/^(maintenance|logical_decoding)_/, "memory and reads of VACUUM, CREATE INDEX, replication"],
  [/^(temp_buffers|temp_file_limit|max_stack_depth)$/, "how much may be used; past it is an error"],
  [
    /^(backend_flush_after|effective_io_concurrency|io_combine_limit)$/,
    "how it reads and writes files",
  ],
  [
    /^(file_copy_method|default_toast_compression|gin_pending_list_limit)$/,
    "how it keeps what it has",
  ],
  [/^(default|temp)_tablespaces?$|^allow_in_place_tablespaces$/, "where it keeps what it has"],
  [/^default_table_access_method$/, "there is but one, unless somebody installs another"],
  [/^max_parallel_(maintenance_)?workers$/, "how many of the planned workers come"],
  [/^enable_(seqscan|mergejoin)$/, "what the others leave"],
  [/^geqo$/, "on already; the table has every query planned by it"],
  [/^jit($|_)/, "how a plan is compiled, which takes PostgreSQL 15 a minute for all of these"],
  [
    /^lc_(messages|monetary|numeric|time)$/,
    "a translated error, money, to_char with TM, L, D or G: none is read here",
  ],
  [
    /^transaction_(isolation|read_only|deferrable)$/,
    "of one transaction; the next has the default again",
  ],
  [
    /^(session_replication_role|default_transaction_read_only)$/,
    "cannot be worked with: the next tests",
  ],
  [/^idle_session_timeout$/, "cuts what idles (test/faults/recycled-sessions.test.ts)"],
  [/^client_connection_check_interval$/, "how soon a query ends whose client is gone"],
  [/^(scram_iterations|password_encryption|md5_password_warnings)$/, "how new passwords are kept"],
  [/^icu_validation_level$|^lo_compat_privileges$/, "new collations, large objects: we have none"],
  [
    /_libraries$|^(dynamic_library|extension_control)_path$|^extension_destdir$/,
    "code of others, and where it is",
  ],
  [
    /^(restrict_nonsystem_relation_kind|allow_system_table_mods)$/,
    "for pg_dump, for who edits the catalogue",
  ],
  [/^(ignore|zero)_(system_indexes|checksum_failure|damaged_pages)$/, "for a broken cluster"],
  [/^(exit_on_error|post_auth_delay|debug_discard_caches)$/, "for who debugs PostgreSQL"],
  [/^(debug_logical_replication_streaming|wal_sender_timeout)$/, "replication"],
];
