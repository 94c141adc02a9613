-- bellwire.changes_since() and changes_for() return data and times as texts, cut what is too large for an event, and give each
-- reader as many bytes as it may have: they are dropped here and made anew by sql/, in the same transaction, because their
-- arguments and results are others.
--
-- Locks    none on existing tables
-- Remove   with the schema

drop function if exists bellwire.changes_since;
drop function if exists bellwire.changes_for;
