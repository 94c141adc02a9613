export interface TabsOptions<Message> {
  /** The same in all tabs that may share: the service, and the user. */
  name: string;
  /** This tab leads from now on, until the function that it returns is called. */
  onLead: () => () => void;
  onMessage: (message: Message) => void;
  /** The page was shown again after it had been left or frozen. It was told nothing meanwhile. */
  onReturn: () => void;
  /** The page was shown again, or the network came back. */
  onWake: () => void;
}

export interface Tabs<Message> {
  /** To all other tabs. */
  tell(message: Message): void;
  close(): void;
}

/** A hidden tab has one timer a minute. */
const BEAT_MS = 20_000;
/** A leader that was silent for so long does not run any more, and is replaced. */
const SILENT_MS = 75_000;

/**
 * Makes one tab of a browser the leader, so that all of them need one connection: over HTTP/1.1 a browser opens six to an origin. When the page
 * is frozen or left, it lets the lock go, because a frozen page would keep it. It also closes the channel, which would keep the page out of the
 * back/forward cache. The leader sends an empty message at every beat, because a frozen page can answer messages, but has no timers.
 */
export function shareAmongTabs<Message>(options: TabsOptions<Message>): Tabs<Message> {
  const { name, onLead, onMessage, onReturn, onWake } = options;
  let visit: ReturnType<typeof enter> | undefined;

  function enter() {
    const channel = new BroadcastChannel(name);
    const waiting = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let hasLeft = false;
    let stopLeading: (() => void) | undefined;
    let release = () => {};

    function join(steal: boolean) {
      const how = steal ? { steal } : { signal: waiting.signal };
      const lead = () =>
        new Promise<void>((resolve) => {
          if (hasLeft) return resolve();
          clearTimeout(timer);
          release = resolve;
          const beat = setInterval(() => channel.postMessage(undefined), BEAT_MS);
          const stop = onLead();
          stopLeading = () => {
            clearInterval(beat);
            stop();
          };
        });
      navigator.locks.request(name, how, lead).catch(() => {
        // Another tab has taken the lock, or this one has left.
        stopLeading?.();
        stopLeading = undefined;
        if (!hasLeft) join(false);
      });
    }

    /** With a random part, so that not every tab takes the lock. */
    function watch() {
      clearTimeout(timer);
      if (!stopLeading) timer = setTimeout(join, SILENT_MS * (1 + Math.random()), true);
    }

    channel.onmessage = ({ data }) => {
      watch();
      if (data !== undefined) onMessage(data);
    };
    join(false);
    watch();
    return {
      channel,
      leave() {
        hasLeft = true;
        clearTimeout(timer);
        stopLeading?.();
        channel.close();
        release();
        waiting.abort();
      },
    };
  }

  function leave() {
    visit?.leave();
    visit = undefined;
  }
  function comeBack() {
    if (visit) return onWake();
    visit = enter();
    onReturn();
  }
  const left = new AbortController();
  const on = (target: EventTarget, event: string, listener: () => void) =>
    target.addEventListener(event, listener, { signal: left.signal });
  on(document, "freeze", leave);
  on(document, "resume", comeBack);
  on(globalThis, "pagehide", leave);
  on(globalThis, "pageshow", comeBack);
  on(globalThis, "online", onWake);
  on(document, "visibilitychange", () => document.visibilityState === "visible" && onWake());
  visit = enter();

  return {
    tell: (message) => visit?.channel.postMessage(message),
    close() {
      left.abort();
      leave();
    },
  };
}
