import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { Random } from "../../support/random.ts";

/** The bodies of the notifications that a transaction has written. */
export interface Written {
  readonly recipientId: string;
  /** They stay if the transaction commits. */
  readonly kept: string[];
  /** Rolled back within the transaction. */
  readonly undone: string[];
}

/** A user who only sends messages. */
export const SENDER = "999999";

/**
 * Writes one to three notifications for one recipient in all possible ways: directly and by a rule, in savepoints and
 * EXCEPTION blocks that keep them or not. Sometimes it marks an older one as read. Then it holds the transaction open,
 * so that later ones commit before it.
 */
export async function write(
  client: pg.Client,
  { recipientId, kept, undone }: Written,
  random: Random,
  nextBody: () => string,
): Promise<void> {
  const insert = async (body: string) => {
    if (random.chance(0.5)) await client.query(NOTIFY, [recipientId, body]);
    else await client.query(SEND_MESSAGE, [SENDER, recipientId, body]);
  };

  async function insertUnderSavepoint() {
    const body = nextBody();
    const isUndone = random.chance(0.5);
    (isUndone ? undone : kept).push(body);
    await client.query("savepoint here");
    await insert(body);
    await client.query(isUndone ? "rollback to savepoint here" : "release savepoint here");
  }

  async function insertAroundException() {
    const [lost, saved] = [nextBody(), nextBody()];
    undone.push(lost);
    kept.push(saved);
    await client.query(failWithin(recipientId, lost, saved));
  }

  async function insertPlain() {
    const body = nextBody();
    kept.push(body);
    await insert(body);
  }

  const ways = [insertPlain, insertPlain, insertUnderSavepoint, insertAroundException];
  for (let left = random.between(1, 3); left > 0; left--) await random.pick(ways)();
  if (random.chance(0.1)) await client.query(MARK_READ, [recipientId]);
  await delay(random.chance(0.03) ? random.int(1200) : random.int(30));
}

const NOTIFY = "select bellwire.notify($1, 'test', title => 'Test', body => $2)";

const SEND_MESSAGE =
  "insert into public.messages (sender_id, recipient_id, body) values ($1, $2, $3)";

/** At most one row, and none that another transaction has locked, so that writers never deadlock. */
const MARK_READ = `
  update bellwire.notifications
     set read_at = clock_timestamp()
   where id = (
           select id
             from bellwire.notifications
            where recipient_id = $1
              and read_at is null
            order by id desc
            limit 1
              for update skip locked
         )`;

/** The values are in the text because `do` takes no parameters. */
function failWithin(recipientId: string, lost: string, saved: string): string {
  const notify = (body: string) =>
    `perform bellwire.notify(${[recipientId, "test"].map(pg.escapeLiteral).join(", ")}, ` +
    `title => 'Test', body => ${pg.escapeLiteral(body)});`;
  return `do $$
    begin
      begin
        ${notify(lost)}
        perform 1 / 0;
      exception when division_by_zero then
        null;
      end;
      ${notify(saved)}
    end $$`;
}
