import type { Change, List, Poll, StateEvent } from "./wire.ts";

export type { List as ListPage, Notification, Poll as PollAnswer } from "./wire.ts";

export type Marks = Omit<Change, "id">;

/** The recipient's, in the database. */
export type Counts = Pick<List, "unread" | "unseen">;

/** What has changed, of all kinds, as the stream or a poll tells it. A page applies `all`, `removed`, `changes`, in this order. */
export type StateChange = Omit<StateEvent, "all"> & Partial<Pick<Poll, "all">>;
