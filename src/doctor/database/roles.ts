import type { ClientBase } from "pg";
import { broken, type Finding, look, well } from "../finding.ts";
import { whoMayGrant } from "./grantors.ts";

interface Roles {
  missing: string[];
  superusers: string[];
  logins: string[];
  ownerIsMember: boolean;
  serviceIsOwner: boolean;
}

/** The three roles as `migrate` makes them. */
export async function checkRoles(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<Roles>(ROLES);
  const [roles] = rows;
  if (!roles) throw new Error("an aggregate returned no row");
  const { missing, superusers, logins } = roles;
  if (missing.length > 0)
    return [
      broken("roles", {
        seen: `missing: ${missing.join(", ")}`,
        why: "The service and the rules run with the rights of these roles.",
        fix: "Run bellwire migrate. If its user may not create roles, it prints the SQL for an administrator.",
      }),
    ];
  const found = [
    ...superusers.map((role) =>
      broken("roles", {
        seen: `${role} is a superuser`,
        why: "Functions and rules that run as this role may do anything in the cluster, and migrate refuses.",
        fix: `As an administrator: alter role ${role} nosuperuser;`,
      }),
    ),
    ...logins.map((role) =>
      look("roles", {
        seen: `${role} may log in`,
        why: "Who knows its password has its rights. migrate refuses such an owner, or such a role of the rules.",
        fix: `As an administrator: alter role ${role} nologin; Give the service a login of its own that is a member of bellwire_service.`,
      }),
    ),
  ];
  if (!roles.ownerIsMember)
    found.push(
      look("roles", {
        seen: "bellwire_owner is not a member of bellwire_rules",
        why: "Rules run, but no rule can be defined or changed.",
        fix: `As ${await whoMayGrant(client, "bellwire_rules")}: grant bellwire_rules to bellwire_owner;`,
      }),
    );
  if (roles.serviceIsOwner)
    found.push(
      look("roles", {
        seen: "bellwire_service is a member of bellwire_owner",
        why: "The service, which the internet talks to, may then change rules and drop the schema.",
        fix: `As ${await whoMayGrant(client, "bellwire_owner")}: revoke bellwire_owner from bellwire_service;`,
      }),
    );
  if (found.length > 0) return found;
  return [
    well("roles", "bellwire_owner, bellwire_rules and bellwire_service are as they should be"),
  ];
}

const ROLES = `
select coalesce(array_agg(name) filter (where r.oid is null), '{}')      as missing,
       coalesce(array_agg(name) filter (where r.rolsuper), '{}')         as superusers,
       coalesce(array_agg(name) filter (where r.rolcanlogin), '{}')      as logins,
       pg_has_role(to_regrole('bellwire_owner'), to_regrole('bellwire_rules'), 'usage')   as "ownerIsMember",
       pg_has_role(to_regrole('bellwire_service'), to_regrole('bellwire_owner'), 'member') as "serviceIsOwner"
  from unnest(array['bellwire_owner', 'bellwire_rules', 'bellwire_service']) as name
  left join pg_roles r on r.rolname = name`;
