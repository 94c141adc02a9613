import type pg from "pg";
import { retryConflicts } from "../db/retry.ts";
import { orUnavailable } from "../db/unavailable.ts";
import { type DemoState, listUsers, readState } from "./state.ts";
import { insert, type Statement, show, update, write } from "./statements.ts";

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
 * The demo's marketplace: the reads and writes of an application that knows nothing about notifications. The rules on its tables
 * make the notifications; that is the point of the demo. Throws DatabaseUnavailableError.
 */
export function createDemo(pool: pg.Pool) {
  /** Resolves to the SQL that ran. Undefined if the marketplace does not allow the act, or no longer allows it. */
  async function perform(act: DemoAct): Promise<string | undefined> {
    const state = await readState(pool, act.actorId);
    const statements = state && plan(act, state);
    if (!statements) return undefined;
    return (await retryConflicts(() => write(pool, statements))) ? show(statements) : undefined;
  }

  return {
    listUsers: () => orUnavailable(listUsers(pool)),
    readState: (userId: string) => orUnavailable(readState(pool, userId)),
    perform: (act: DemoAct) => orUnavailable(perform(act)),
  };
}

/** The statements of an act. Undefined if the actor's state does not allow it. */
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

/** Accepting an offer also gives the task its executor; both happen or neither. */
function accept(table: string, offer: { id: string; taskId: string }, executor: bigint) {
  const assigned = { executor_id: executor, status: "in_progress" };
  return [
    update(table, offer.id, "pending", { status: "accepted" }),
    update("tasks", offer.taskId, "open", assigned),
  ];
}
