-- UUIDs that are recipients are kept in lower case from here on (sql/same_id.sql): what is there in upper case would not be found
-- any more. Nothing is announced of it. Where a recipient was told under several spellings, with the same dedupe_key, the rows that are not
-- in lower case lose their key; of two preferences that of the lower case stays, of two revocations the later.
--
-- Reads bellwire.notifications once, from end to end.
--
-- Locks    share row exclusive on bellwire.notifications where there is any such row: writers wait
-- Remove   with the schema
do $$
declare
  enabled name[];
  ours    name;
  uuid constant text := '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$';
begin
  insert into bellwire.preferences (recipient_id, muted_types)
  select distinct on (lower(p.recipient_id)) lower(p.recipient_id), p.muted_types
    from bellwire.preferences p
   where p.recipient_id ~ uuid and p.recipient_id <> lower(p.recipient_id)
      on conflict do nothing;
  delete from bellwire.preferences p where p.recipient_id ~ uuid and p.recipient_id <> lower(p.recipient_id);

  insert into bellwire.revocations as kept (recipient_id, revoked_at, revoked_xid)
  select distinct on (lower(r.recipient_id)) lower(r.recipient_id), r.revoked_at, r.revoked_xid
    from bellwire.revocations r
   where r.recipient_id ~ uuid and r.recipient_id <> lower(r.recipient_id)
   order by lower(r.recipient_id), r.revoked_at desc
      on conflict on constraint revocations_pkey
         do update
        set revoked_at = greatest(kept.revoked_at, excluded.revoked_at);
  delete from bellwire.revocations r where r.recipient_id ~ uuid and r.recipient_id <> lower(r.recipient_id);

  if not exists (
       select
         from bellwire.notifications n
        where octet_length(n.recipient_id) = 36
          and n.recipient_id <> lower(n.recipient_id)
          and n.recipient_id ~ uuid
     )
  then
    return;
  end if;
  -- Not to be told of as changed, nor as moved.
  enabled := array(
    select t.tgname
      from pg_trigger t
     where t.tgrelid = 'bellwire.notifications'::regclass and not t.tgisinternal and t.tgenabled = 'O'
  );
  foreach ours in array enabled loop
    execute format('alter table bellwire.notifications disable trigger %I', ours);
  end loop;
  update bellwire.notifications n
     set dedupe_key = null
   where n.dedupe_key is not null
     and octet_length(n.recipient_id) = 36
     and n.recipient_id <> lower(n.recipient_id)
     and n.recipient_id ~ uuid
     and exists (
           select
             from bellwire.notifications other
            where other.recipient_id <> n.recipient_id
              and lower(other.recipient_id) = lower(n.recipient_id)
              and other.dedupe_key = n.dedupe_key
              and other.type = n.type
         );
  update bellwire.notifications n
     set recipient_id = lower(n.recipient_id)
   where octet_length(n.recipient_id) = 36
     and n.recipient_id <> lower(n.recipient_id)
     and n.recipient_id ~ uuid;
  foreach ours in array enabled loop
    execute format('alter table bellwire.notifications enable trigger %I', ours);
  end loop;
end
$$;
