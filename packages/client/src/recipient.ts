import { createApi, type Failure } from "./api.ts";
import { connect } from "./connection.ts";
import { after, type Changes, countsOf, EMPTY, type Inbox, type Mark, withMark } from "./inbox.ts";
import { keepTrying, type Status, type Trying } from "./keep-trying.ts";
import { shareAmongTabs } from "./tabs.ts";
import type { List, Notification, Preferences } from "./wire.ts";

export interface BellOptions {
  /** The base of the service's routes, for example `/api/notifications`. */
  url: string;
  /**
   * Resolves to a token. Called again when one was refused or is about to expire. Without it, requests carry the page's cookies. If a proxy then
   * asks for Basic authentication (401 with `WWW-Authenticate: Basic`), the browser shows its dialog, as for any request of the page.
   */
  getToken?: () => Promise<string>;
  /** `poll`: no streams. */
  transport?: "sse" | "poll";
  /** Default true: one connection for all tabs of the browser that have the same recipient. */
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
  /** Undefined before `loadPreferences()` or `setMuted()`. */
  readonly preferences: Preferences | undefined;
}

export interface RecipientOptions extends BellOptions {
  onSnapshot: (snapshot: BellSnapshot) => void;
  /** A notification that has just come, once. */
  onNotification: (notification: Notification) => void;
  /** The page's requests are answered for another recipient now. */
  onOtherRecipient: () => void;
}

/** What the tabs of one recipient tell each other. A tab that was opened or shown again tells nothing: it asks the leader for the status. */
interface Message {
  changes?: Changes;
  status?: Status;
  /** The position from which a new leader goes on. */
  leadsFrom?: string | undefined;
}

export type Recipient = ReturnType<typeof followRecipient>;

/** Follows the recipient of the first response, until it is closed. A mark is shown at once, and taken back if the service does not make it. */
export function followRecipient(options: RecipientOptions) {
  const { url, transport, shareTabs = true, debug } = options;
  const log = debug ? (text: string) => console.info(`bell: ${text}`) : () => {};
  const api = createApi({
    ...options,
    onOtherRecipient: () => isClosed || options.onOtherRecipient(),
  });
  let inbox: Inbox = EMPTY;
  /** The user's marks that the service has not answered yet. */
  const marks = new Set<(inbox: Inbox) => Inbox>();
  let preferences: Preferences | undefined;
  /** The last request of preferences. */
  let turn: Promise<unknown> = Promise.resolve();
  let status: Status = "connecting";
  /** The position of all that this tab has; undefined before its list. */
  let cursor: string | undefined;
  let loading: Trying | undefined;
  /** No list yet since it was opened or shown again, so no tab's connection gives it the status. */
  let isAlone = true;
  /** What was told since the list was asked for, and to which recipient's tabs. */
  let toldMeanwhile: [Message, recipient: string | null][] = [];
  /** Only in the tab that leads. */
  let connection: Trying | undefined;
  let isClosed = false;
  /** The ids of what was listed or told, so that nothing is told twice. */
  const known = new Set<string>();

  function publish(): void {
    if (isClosed) return;
    const { nextBefore, ...shown } = [...marks].reduce((each, mark) => mark(each), inbox);
    options.onSnapshot({ ...shown, status, hasMore: !!nextBefore, preferences });
  }

  function setStatus(next: Status): void {
    if (next === status) return;
    status = next;
    log(next);
    publish();
  }

  /** Fetches the list, and again until it comes. What is shown stays until then. */
  function load(): void {
    if (isClosed) return;
    loading?.close();
    toldMeanwhile = [];
    loading = keepTrying(
      async ({ signal }) => {
        // What was shown stays, though others may have come.
        const limit = Math.min(100, 20 + inbox.notifications.length);
        const page = await api.json<List>(`?limit=${limit}`, { signal });
        loading?.close();
        loading = undefined;
        inbox = after(EMPTY, page);
        for (const { id } of page.notifications) known.add(id);
        cursor ??= page.cursor;
        isAlone = false;
        publish();
        // The list may be older than this. What it has already changes nothing.
        for (const told of toldMeanwhile) onMessage(...told);
        if (tabs) tabs.join(api.recipient() as string);
        else if (!connection) lead();
        share({});
        return 0;
      },
      { onStatus: (next) => isAlone && setStatus(next), log },
    );
  }

  function lead(): () => void {
    share({ leadsFrom: cursor });
    connection = connect({
      api,
      since: cursor as string,
      polls: transport === "poll",
      onChanges: (changes) => share({ changes }),
      onStatus: (next) => share({ status: next }),
      log,
    });
    return () => {
      connection?.close();
      connection = undefined;
    };
  }

  /** Tells all tabs of this recipient, this one included. */
  function share(message: Message): void {
    tabs?.tell(message);
    onMessage(message, api.recipient());
  }

  function onMessage(message: Message, recipient: string | null): void {
    if (loading) toldMeanwhile.push([message, recipient]);
    if (recipient !== api.recipient()) return;
    const { changes, status: next, leadsFrom } = message;
    if (changes) receive(changes);
    else if (next) setStatus(next);
    else if (leadsFrom) {
      if (leadsFrom === cursor) return;
      // What came between its position and this tab's will not be told.
      cursor = leadsFrom;
      load();
    } else if (connection) {
      connection.wake();
      share({ status });
    }
  }

  function receive(changes: Changes): void {
    cursor = changes.cursor ?? cursor;
    if (changes.reset) {
      load();
      return;
    }
    inbox = after(inbox, changes);
    publish();
    for (const id of changes.removed ?? []) known.delete(id);
    for (const each of changes.notifications ?? [])
      if (!isClosed && !known.has(each.id)) {
        known.add(each.id);
        options.onNotification(each);
      }
  }

  /** The mark is shown at once, until the service has answered. Then it is part of the inbox, or taken back. */
  async function write(
    mark: (inbox: Inbox) => Inbox,
    method: string,
    path: string,
    body: object,
  ): Promise<void> {
    marks.add(mark);
    publish();
    try {
      // It arrives also if the page is left at once, as by a notification's link.
      await api.json(path, { method, body: JSON.stringify(body), keepalive: true });
      inbox = mark(inbox);
    } catch (failure) {
      // The inbox is not what this tab has: a notification is gone, or the database was restored.
      if ((failure as Failure).kind === "invalid") load();
      throw failure;
    } finally {
      marks.delete(mark);
      publish();
    }
  }

  async function askPreferences(init?: { method: string; body: string }): Promise<Preferences> {
    preferences = await api.json<Preferences>("/preferences", init);
    publish();
    return preferences;
  }

  /** One after the other, because each change is made to what was read before it. */
  function inTurn(act: () => Promise<Preferences>): Promise<Preferences> {
    turn = turn.then(act, act);
    return turn as Promise<Preferences>;
  }

  const tabs = globalThis.document
    ? shareAmongTabs<Message>({
        name: `bellwire ${shareTabs ? url : Math.random()}`,
        onLead: lead,
        onMessage,
        onReturn() {
          isAlone = true;
          load();
        },
        onWake() {
          loading?.wake();
          share({});
        },
      })
    : undefined;
  publish();
  load();

  return {
    mark: (id: string, mark: Mark, body: object) =>
      write((each) => withMark(each, new Set([id]), mark), "PATCH", `/${id}`, body),

    /** Marks what this page's position has: what comes meanwhile stays as it is. */
    markAll(isRead: boolean, mark: Mark): Promise<void> {
      const ids = new Set(inbox.notifications.map(({ id }) => id));
      return write(
        (each) => {
          // The service marks also what was not loaded.
          const { unread, unseen } = countsOf(each.notifications);
          return withMark({ ...each, unseen, ...(isRead && { unread }) }, ids, mark);
        },
        "POST",
        `/mark-all-${isRead ? "read" : "seen"}`,
        { cursor },
      );
    },

    async loadMore(): Promise<void> {
      const { nextBefore } = inbox;
      if (!nextBefore) return;
      const page = await api.json<List>(`?before=${nextBefore}`);
      // Another call may have added this page, or the list was fetched again. The counts may be older than what was told meanwhile.
      if (inbox.nextBefore !== nextBefore) return;
      inbox = { ...after(inbox, page), unread: inbox.unread, unseen: inbox.unseen };
      publish();
    },

    loadPreferences: () => inTurn(() => askPreferences()),

    setMuted: (type: string, isMuted: boolean) =>
      inTurn(async () => {
        const { mutedTypes } = await askPreferences();
        const others = mutedTypes.filter((each) => each !== type);
        const body = JSON.stringify({ mutedTypes: isMuted ? [...others, type] : others });
        return await askPreferences({ method: "PUT", body });
      }),

    /** Ends the connection, or the place among the tabs. */
    close(): void {
      isClosed = true;
      tabs?.close();
      connection?.close();
      loading?.close();
    },
  };
}
