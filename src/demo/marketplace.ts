import pg from "pg";
import { retryConflicts } from "../db/retry.ts";
import { orUnavailable } from "../db/unavailable.ts";
import { withClient } from "../db/with-client.ts";

export type DemoUser = { id: string; name: string };

type Named = { id: string; title: string };

/** What one user of the marketplace can do now. `perform` allows exactly this. */
export type DemoState = {
  people: DemoUser[];
  conversations: { taskId: string; title: string; personId: string }[];
  openTasks: (Named & { price: number; customerName: string })[];
  ownTasks: (Named & { price: number; status: string; executorName: string | null })[];
  responses: (Named & { taskId: string; userId: string; userName: string; price: number })[];
  hireRequests: (Named & { taskId: string; customerName: string; message: string | null })[];
  reviews: { taskId: string; title: string; personId: string; personName: string }[];
};

type Optional = string | undefined;
type ById = "acceptResponse" | "rejectResponse" | "acceptHire" | "rejectHire";

export type DemoAct = { actorId: string } & (
  | { act: "message"; recipientId: string; taskId?: Optional; body?: Optional; fileName?: Optional }
  | { act: "respond"; taskId: string; message: string; price: number }
  | { act: "hire"; executorId: string; taskId: string; message: string }
  | { act: ById; id: string }
  | { act: "review"; taskId: string; recipientId: string; rating: number; comment: string }
  | { act: "postTask"; title: string; price: number }
  | { act: "completeTask" | "cancelTask"; taskId: string }
);

export type Demo = ReturnType<typeof createDemo>;

/**
 * The demo's marketplace: what its application would read and write, and nothing about notifications.
 * That silence is the point of the demo: the rules on these tables do the telling. Throws DatabaseUnavailableError.
 */
export function createDemo(pool: pg.Pool) {
  async function listUsers(): Promise<DemoUser[]> {
    return (await pool.query<DemoUser>("select id::text, name from users order by users.id")).rows;
  }

  /** `undefined` for an unknown user. */
  async function readState(userId: string): Promise<DemoState | undefined> {
    if (!(await listUsers()).some(({ id }) => id === userId)) return undefined;
    const read = async <Row extends pg.QueryResultRow>(text: string) =>
      (await pool.query<Row>(text, [userId])).rows;
    return {
      people: await read(PEOPLE),
      conversations: await read(CONVERSATIONS),
      openTasks: await read(OPEN_TASKS),
      ownTasks: await read(OWN_TASKS),
      responses: await read(RESPONSES),
      hireRequests: await read(HIRE_REQUESTS),
      reviews: await read(REVIEWS),
    };
  }

  /** Resolves to the SQL that ran, or to `undefined` if the marketplace does not allow the act (any more). */
  async function perform(act: DemoAct): Promise<string | undefined> {
    const state = await readState(act.actorId);
    const statements = state && plan(act, state);
    if (!statements) return undefined;
    return (await retryConflicts(() => write(pool, statements))) ? show(statements) : undefined;
  }

  return {
    listUsers: () => orUnavailable(listUsers()),
    readState: (userId: string) => orUnavailable(readState(userId)),
    perform: (act: DemoAct) => orUnavailable(perform(act)),
  };
}

type Value = bigint | number | string;
type Statement = { text: string; values: Value[] };

/** The writes an act comes down to; `undefined` if the actor's state has no room for it. */
function plan(act: DemoAct, state: DemoState): Statement[] | undefined {
  const actor = BigInt(act.actorId);
  switch (act.act) {
    case "message": {
      const { recipientId, taskId, body, fileName } = act;
      const isKnown = taskId
        ? state.conversations.some((c) => c.taskId === taskId && c.personId === recipientId)
        : state.people.some(({ id }) => id === recipientId);
      if (!isKnown) return undefined;
      const task = taskId === undefined ? {} : { task_id: BigInt(taskId) };
      const to = { sender_id: actor, recipient_id: BigInt(recipientId), ...task };
      const file = fileName === undefined ? {} : { file_name: fileName };
      return [insert("messages", { ...to, ...(body === undefined ? {} : { body }), ...file })];
    }
    case "respond": {
      if (!state.openTasks.some(({ id }) => id === act.taskId)) return undefined;
      const { message, price } = act;
      return [insert("responses", { task_id: BigInt(act.taskId), user_id: actor, message, price })];
    }
    case "acceptResponse": {
      const response = state.responses.find(({ id }) => id === act.id);
      return response && accept("responses", response, BigInt(response.userId));
    }
    case "acceptHire": {
      const request = state.hireRequests.find(({ id }) => id === act.id);
      return request && accept("hire_requests", request, actor);
    }
    case "rejectResponse":
      if (!state.responses.some(({ id }) => id === act.id)) return undefined;
      return [update("responses", act.id, "pending", { status: "rejected" })];
    case "rejectHire":
      if (!state.hireRequests.some(({ id }) => id === act.id)) return undefined;
      return [update("hire_requests", act.id, "pending", { status: "rejected" })];
    case "hire": {
      const isOpen = state.ownTasks.some((t) => t.id === act.taskId && t.status === "open");
      if (!isOpen || !state.people.some(({ id }) => id === act.executorId)) return undefined;
      const parties = { customer_id: actor, executor_id: BigInt(act.executorId) };
      const request = { ...parties, task_id: BigInt(act.taskId), message: act.message };
      return [insert("hire_requests", request)];
    }
    case "review": {
      const { taskId, recipientId, rating, comment } = act;
      if (!state.reviews.some((r) => r.taskId === taskId && r.personId === recipientId))
        return undefined;
      const parties = { author_id: actor, recipient_id: BigInt(recipientId) };
      return [insert("reviews", { task_id: BigInt(taskId), ...parties, rating, comment })];
    }
    case "postTask":
      return [insert("tasks", { customer_id: actor, title: act.title, price: act.price })];
    case "completeTask":
    case "cancelTask": {
      const task = state.ownTasks.find(({ id }) => id === act.taskId);
      if (!task || (act.act === "completeTask" && task.status === "open")) return undefined;
      const status = act.act === "completeTask" ? "completed" : "cancelled";
      return [update("tasks", act.taskId, task.status, { status })];
    }
  }
}

/** An accepted offer gives the task its executor, both or neither. */
function accept(table: string, offer: { id: string; taskId: string }, executor: bigint) {
  const assigned = { executor_id: executor, status: "in_progress" };
  return [
    update(table, offer.id, "pending", { status: "accepted" }),
    update("tasks", offer.taskId, "open", assigned),
  ];
}

function insert(table: string, row: Record<string, Value>): Statement {
  const columns = Object.keys(row);
  const parameters = columns.map((_, i) => `$${i + 1}`).join(", ");
  const text = `insert into ${table} (${columns.join(", ")})\nvalues (${parameters})`;
  return { text, values: Object.values(row) };
}

/** `from` is the status the row must still have: of two who act at once, one finds it gone. */
function update(table: string, id: string, from: string, row: Record<string, Value>): Statement {
  const set = Object.keys(row).map((column, i) => `${column} = $${i + 3}`);
  const text = `update ${table}\nset ${set.join(", ")}\nwhere id = $1 and status = $2`;
  return { text, values: [BigInt(id), from, ...Object.values(row)] };
}

/** All of them or none; false if one found no row to change. */
function write(pool: pg.Pool, statements: Statement[]): Promise<boolean> {
  return withClient(pool, async (client) => {
    if (statements.length === 1) return await runAll(client, statements);
    await client.query("begin");
    const written = await runAll(client, statements);
    await client.query(written ? "commit" : "rollback");
    return written;
  });
}

async function runAll(client: pg.PoolClient, statements: Statement[]): Promise<boolean> {
  for (const { text, values } of statements)
    if ((await client.query(text, values)).rowCount === 0) return false;
  return true;
}

/** The statements with their values filled in, for reading; what ran had parameters. */
function show(statements: Statement[]): string {
  const texts = statements.map(({ text, values }) => {
    const literal = (value: Value | undefined) =>
      typeof value === "string" ? pg.escapeLiteral(value).trimStart() : String(value);
    return `${text.replace(/\$(\d+)/g, (_, n) => literal(values[n - 1]))};`;
  });
  return texts.length === 1 ? texts.join("") : ["begin;", ...texts, "commit;"].join("\n\n");
}

const PEOPLE = `
  select id::text, name
  from users
  where users.id <> $1 and blocked is not true
  order by users.id`;

const CONVERSATIONS = `
  select t.id::text as "taskId", t.title, u.id::text as "personId"
  from tasks t
  join users u on u.id = case when t.customer_id = $1 then t.executor_id else t.customer_id end
  where $1 in (t.customer_id, t.executor_id)
  order by t.id desc
  limit 50`;

const OPEN_TASKS = `
  select t.id::text, t.title, t.price::float8 as price, c.name as "customerName"
  from tasks t
  join users c on c.id = t.customer_id
  where t.status = 'open'
    and t.customer_id <> $1
    and not exists (
      select from responses r
      where r.task_id = t.id and r.user_id = $1 and r.status = 'pending'
    )
  order by t.id desc
  limit 50`;

const OWN_TASKS = `
  select t.id::text, t.title, t.price::float8 as price, t.status, e.name as "executorName"
  from tasks t
  left join users e on e.id = t.executor_id
  where t.customer_id = $1 and t.status in ('open', 'in_progress')
  order by t.id desc
  limit 50`;

const RESPONSES = `
  select r.id::text, t.id::text as "taskId", t.title, u.id::text as "userId",
    u.name as "userName", r.price::float8 as price
  from responses r
  join tasks t on t.id = r.task_id
  join users u on u.id = r.user_id
  where t.customer_id = $1 and t.status = 'open' and r.status = 'pending'
  order by r.id desc
  limit 50`;

const HIRE_REQUESTS = `
  select h.id::text, t.id::text as "taskId", t.title, c.name as "customerName", h.message
  from hire_requests h
  join tasks t on t.id = h.task_id
  join users c on c.id = h.customer_id
  where h.executor_id = $1 and t.status = 'open' and h.status = 'pending'
  order by h.id desc
  limit 50`;

const REVIEWS = `
  select t.id::text as "taskId", t.title, u.id::text as "personId", u.name as "personName"
  from tasks t
  join users u on u.id = case when t.customer_id = $1 then t.executor_id else t.customer_id end
  where $1 in (t.customer_id, t.executor_id)
    and t.status = 'completed'
    and not exists (select from reviews r where r.task_id = t.id and r.author_id = $1)
  order by t.id desc
  limit 50`;
