import { createApi } from "./api.ts";
import { type BellEvent, type Connection, connect } from "./connection.ts";
import {
  EMPTY,
  fromList,
  type Inbox,
  withAllMarked,
  withMarks,
  withMore,
  withNotification,
  withState,
} from "./inbox.ts";
import { keepTrying, type Status, type Trying } from "./keep-trying.ts";
import type { ListPage, Marks, Notification } from "./notification.ts";
import { shareAmongTabs, type Tabs } from "./tabs.ts";

export { Failure, type FailureKind } from "./api.ts";
export type { Status } from "./keep-trying.ts";
export type { Notification } from "./notification.ts";

export interface BellOptions {
  /** The base of the service's routes, for example `/api/notifications`. */
  url: string;
  /** Resolves to a token. Called again when one was refused or is about to expire. Without it, requests carry the page's cookies. */
  getToken?: () => Promise<string>;
  /** `poll`: no streams. */
  transport?: "sse" | "poll";
  /** Default true: one connection for all tabs of the browser. */
  shareTabs?: boolean;
  /** Writes to the console what the connection does. */
  debug?: boolean;
}

export interface BellSnapshot {
  readonly status: Status;
  readonly unread: number;
  readonly unseen: number;
  /** Newest first, without archived ones. */
  readonly notifications: readonly Notification[];
  /** `loadMore()` has more. */
  readonly hasMore: boolean;
  /** Undefined before they were asked for. */
  readonly preferences: Preferences | undefined;
}

export interface Preferences {
  readonly mutedTypes: readonly string[];
}

interface Listeners {
  /** A notification that has just come, once: for toasts and sounds. */
  notification: (notification: Notification) => void;
  state: (snapshot: BellSnapshot) => void;
  status: (status: Status) => void;
}

export type Bell = ReturnType<typeof createBell>;

/** What tabs tell each other. */
type TabMessage =
  | { kind: "event"; event: BellEvent }
  | { kind: "status"; status: Status }
  /** A new leader, and the position from which it goes on. */
  | { kind: "lead"; cursor: string }
  | { kind: "hello" };

/** How many ids are kept to tell each notification once. */
const REMEMBERED = 2000;

/**
 * The bell of one user: a store with the newest notifications, their counts and the connection's status. It begins at once. The verbs change
 * the store at once and take it back when the service refuses; they then reject with a `Failure`.
 */
export function createBell({ url, getToken, transport, shareTabs = true, debug }: BellOptions) {
  if (transport !== undefined && transport !== "sse" && transport !== "poll")
    throw new TypeError(`There is no transport "${transport}" yet. Use "sse" or "poll".`);
  const api = createApi({ url, getToken });
  const log = debug ? (text: string) => console.info(`bell: ${text}`) : () => {};
  const stores = new Set<() => void>();
  const listeners: { [Name in keyof Listeners]: Set<Listeners[Name]> } = {
    notification: new Set(),
    state: new Set(),
    status: new Set(),
  };
  let inbox: Inbox = EMPTY;
  let preferences: Preferences | undefined;
  let status: Status = "connecting";
  let snapshot = toSnapshot();
  /** The position of all that this tab has; undefined before its list. */
  let cursor: string | undefined;
  let connection: Connection | undefined;
  let tabs: Tabs<TabMessage> | undefined;
  let loading: Trying | undefined;
  let isLeading = false;
  let isClosed = false;
  const told = new Set<string>();
  /** What has come since the list was asked for. */
  let cameMeanwhile: BellEvent[] = [];

  function toSnapshot(): BellSnapshot {
    const { unread, unseen, notifications, nextBefore } = inbox;
    return { status, unread, unseen, notifications, hasMore: nextBefore !== null, preferences };
  }

  function change(next: Inbox): void {
    inbox = next;
    publish();
  }

  function publish(): void {
    snapshot = toSnapshot();
    for (const listener of stores) listener();
    for (const listener of listeners.state) listener(snapshot);
  }

  function setStatus(next: Status): void {
    if (next === status) return;
    status = next;
    log(next);
    publish();
    for (const listener of listeners.status) listener(next);
  }

  function remember(id: string): boolean {
    if (told.has(id)) return false;
    told.add(id);
    if (told.size > REMEMBERED) told.delete(told.values().next().value as string);
    return true;
  }

  function receive(event: BellEvent): void {
    cursor = event.id ?? cursor;
    if (event.name === "reset") {
      load();
      return;
    }
    if (loading) cameMeanwhile.push(event);
    if (event.name === "state") for (const id of event.data.removed ?? []) told.delete(id);
    change(after(inbox, event));
    if (event.name !== "notification" || !remember(event.data.id)) return;
    const { unread, unseen, ...notification } = event.data;
    for (const listener of listeners.notification) listener(notification);
  }

  /** Fetches the list, and again until it comes. What is shown stays until then. */
  function load(): void {
    loading?.close();
    cameMeanwhile = [];
    loading = keepTrying(
      async (signal) => {
        const page = await api.get<ListPage>("", signal);
        for (const { id } of page.notifications) remember(id);
        loading = undefined;
        // The list may be older than these. Those that it has already change nothing.
        change(cameMeanwhile.reduce(after, fromList(page)));
        cursor ??= page.cursor;
        if (isLeading && !connection) follow(cursor);
        return "done";
      },
      { onStatus: (next) => cursor === undefined && setStatus(next), log },
    );
  }

  /** After this tab has joined the others: what the leader tells from now on is in the list, or comes to this tab. */
  function begin(): void {
    tabs?.tell({ kind: "hello" });
    load();
  }

  function lead(): () => void {
    isLeading = true;
    if (cursor !== undefined) follow(cursor);
    return () => {
      isLeading = false;
      connection?.close();
      connection = undefined;
    };
  }

  function follow(since: string): void {
    tabs?.tell({ kind: "lead", cursor: since });
    connection = connect({
      api,
      since,
      polls: transport === "poll",
      onEvent(event) {
        tabs?.tell({ kind: "event", event });
        receive(event);
      },
      onStatus(next) {
        tabs?.tell({ kind: "status", status: next });
        setStatus(next);
      },
      log,
    });
  }

  function onMessage(message: TabMessage): void {
    if (message.kind === "hello") {
      if (isLeading) tabs?.tell({ kind: "status", status });
    } else if (message.kind === "status") setStatus(message.status);
    else if (message.kind === "event") receive(message.event);
    // What came between its position and this tab's will not be told to this tab.
    else if (message.cursor !== cursor) {
      cursor = message.cursor;
      load();
    }
  }

  function wake(): void {
    connection?.wake();
    loading?.wake(false);
  }

  /** Shows the change at once. If the service does not make it, the list is fetched again. */
  async function write<Answer>(
    next: Inbox,
    method: string,
    path: string,
    body: unknown,
  ): Promise<Answer> {
    change(next);
    try {
      return await api.write<Answer>(method, path, body);
    } catch (failure) {
      load();
      throw failure;
    }
  }

  async function mark(id: string, marks: Partial<Marks>, body: object): Promise<void> {
    await write(withMarks(inbox, id, marks), "PATCH", `/${id}`, body);
  }

  async function markAll(path: string, read: boolean): Promise<void> {
    const next = withAllMarked(inbox, new Date().toISOString(), read);
    await write(next, "POST", path, cursor === undefined ? {} : { cursor });
  }

  const { locks } = globalThis.navigator ?? {};
  if (shareTabs && locks && globalThis.document) {
    const name = `bellwire ${url}`;
    tabs = shareAmongTabs<TabMessage>({
      name,
      onLead: lead,
      onMessage,
      onReturn: begin,
      onWake: wake,
    });
  } else lead();
  begin();

  return {
    /** Calls `listener` after each change of the snapshot. Returns the function that ends that. */
    subscribe(listener: () => void): () => void {
      stores.add(listener);
      return () => void stores.delete(listener);
    },

    /** The same object until something changes. */
    getSnapshot: (): BellSnapshot => snapshot,

    on<Name extends keyof Listeners>(name: Name, listener: Listeners[Name]): () => void {
      listeners[name].add(listener);
      return () => void listeners[name].delete(listener);
    },

    markAsRead: (id: string) => {
      const at = new Date().toISOString();
      return mark(id, { readAt: at, seenAt: at }, { read: true });
    },
    markAsUnread: (id: string) => mark(id, { readAt: null }, { read: false }),
    archive: (id: string) => mark(id, { archivedAt: new Date().toISOString() }, { archived: true }),
    /** Of what this page's position has: what comes meanwhile stays unread. */
    markAllAsRead: () => markAll("/mark-all-read", true),
    markAllAsSeen: () => markAll("/mark-all-seen", false),

    /** Adds the next page of older notifications. */
    async loadMore(): Promise<void> {
      if (inbox.nextBefore === null) return;
      change(withMore(inbox, await api.get<ListPage>(`?before=${inbox.nextBefore}`)));
    },

    /** A muted type makes no more notifications for this user. */
    async setMuted(type: string, isMuted: boolean): Promise<void> {
      const { mutedTypes } = await api.get<Preferences>("/preferences");
      const others = mutedTypes.filter((each) => each !== type);
      const wanted = isMuted ? [...others, type] : others;
      preferences = await api.write("PUT", "/preferences", { mutedTypes: wanted });
      publish();
    },

    /** Ends the connection, or the place among the tabs. */
    close(): void {
      if (isClosed) return;
      isClosed = true;
      tabs?.close();
      connection?.close();
      loading?.close();
    },
  };
}

function after(inbox: Inbox, event: BellEvent): Inbox {
  if (event.name === "notification") return withNotification(inbox, event.data);
  if (event.name === "state") return withState(inbox, event.data);
  if (event.name !== "counts") return inbox;
  const { unread, unseen } = event.data;
  return { ...inbox, unread, unseen };
}
