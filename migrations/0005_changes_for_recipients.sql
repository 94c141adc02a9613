-- bellwire.changes_since() reads for all recipients alone: it is dropped here and made anew by sql/, in the same transaction,
-- because its arguments and its result are others.
--
-- Locks    none on existing tables
-- Remove   with the schema

drop function if exists bellwire.changes_since(pg_snapshot[], text[], pg_snapshot[], boolean[], bigint[], integer, integer);
