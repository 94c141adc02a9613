-- The users that one can sign in as. Applied at each start.
insert into "User" ("id", "name") values ('anna', 'Anna'), ('boris', 'Boris'), ('clara', 'Clara') on conflict do nothing;
