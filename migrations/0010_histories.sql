-- Where the history begins that positions are of, after a restore over the same database: bellwire.begin_history().
--
-- Locks    none on existing tables
-- Remove   with the schema

-- A sequence, because a restore of the data alone sets it, where a row would be in conflict.
create sequence bellwire.history_began_xid
  as bigint
  minvalue 0
  start with 0;

comment on sequence bellwire.history_began_xid is
  'The transaction from which on positions are of this history: bellwire.begin_history(). Unset: from the first.';
