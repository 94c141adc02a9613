export interface TabsOptions<Message> {
  /** The same in all tabs that hear each other. */
  name: string;
  /** This tab leads its group from now on, until the function that it returns is called. */
  onLead: () => () => void;
  /** From another tab, of this group or another one. */
  onMessage: (message: Message, group: string | null) => void;
  /** The page was shown again after it had been left or frozen. It was told nothing meanwhile, and is in no group. */
  onReturn: () => void;
  /** The page was shown again, or the network came back. */
  onWake: () => void;
}

/** A hidden tab has one timer a minute. */
const BEAT_MS = 20_000;
/** A leader that was silent for so long does not run any more, and is replaced. */
const SILENT_MS = 75_000;
/** Without locks: a leader that is there answers sooner. */
const ANSWER_MS = 500;

/**
 * Makes one tab of each group the leader, so that all of them need one connection: over HTTP/1.1 a browser opens six to an origin. When the page
 * is frozen or left, it lets the lock go, because a frozen page would keep it. It also closes the channel, which would keep the page out of the
 * back/forward cache. The leader tells at every beat since when it leads, because a frozen page can answer messages, but has no timers.
 *
 * Insecure contexts have no Web Locks. There a tab leads when no leader answers. If two tabs lead, the later one stops when it hears the other one's beat.
 */
export function shareAmongTabs<Message extends object>(options: TabsOptions<Message>) {
  const { name, onLead, onMessage, onReturn, onWake } = options;
  const { locks } = navigator;
  let visit: ReturnType<typeof enter> | undefined;

  function enter() {
    const channel = new BroadcastChannel(name);
    const left = new AbortController();
    const { signal } = left;
    let own: string | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let leadsSince: number;
    let stopLeading: (() => void) | undefined;

    const tell = (message: Message | number | "gone") => channel.postMessage([own, message]);

    function compete(steal = false): void {
      if (!locks) return void (steal && lead());
      locks
        .request(`${name} ${own}`, steal ? { steal } : { signal }, lead)
        .catch(({ name: why }) => {
          // Another tab has taken the lock, or this one has left.
          stopLeading?.();
          if (signal.aborted) return;
          // There are no locks where cookies are blocked, nor in a sandboxed frame. Each tab leads there.
          if (why === "AbortError") compete();
          else void lead();
        });
    }

    function lead(): Promise<void> {
      return new Promise((resolve) => {
        if (signal.aborted) return resolve();
        clearTimeout(timer);
        leadsSince = Date.now() + Math.random();
        tell(leadsSince);
        const beat = setInterval(tell, BEAT_MS, leadsSince);
        const stop = onLead();
        stopLeading = () => {
          stopLeading = undefined;
          clearInterval(beat);
          stop();
          resolve();
        };
      });
    }

    /** With a random part, so that not every tab leads. */
    function watch(isSilent: boolean): void {
      clearTimeout(timer);
      const ms = isSilent && !locks ? ANSWER_MS : SILENT_MS;
      if (!stopLeading) timer = setTimeout(compete, ms * (1 + Math.random()), true);
    }

    channel.onmessage = ({ data: [group, message] }) => {
      if (group && group === own) {
        if (!locks && stopLeading && typeof message === "number") {
          if (message < leadsSince) stopLeading();
          else tell(leadsSince);
        }
        watch(message === "gone");
      }
      if (typeof message === "object") onMessage(message, group);
    };

    return {
      tell,
      join(group: string): void {
        if (own) return;
        own = group;
        compete();
        watch(true);
      },
      leave(): void {
        left.abort();
        clearTimeout(timer);
        if (stopLeading) tell("gone");
        stopLeading?.();
        channel.close();
      },
    };
  }

  function leave(): void {
    visit?.leave();
    visit = undefined;
  }
  function comeBack(): void {
    if (visit) onWake();
    else {
      visit = enter();
      onReturn();
    }
  }
  const closed = new AbortController();
  const listeners = {
    freeze: leave,
    resume: comeBack,
    pagehide: leave,
    pageshow: comeBack,
    online: onWake,
    visibilitychange: () => document.visibilityState === "visible" && onWake(),
  };
  // Captured, because the document's own events do not all bubble.
  for (const [event, listener] of Object.entries(listeners))
    addEventListener(event, listener, { capture: true, signal: closed.signal });
  visit = enter();

  return {
    /** To all other tabs. */
    tell: (message: Message) => visit?.tell(message),
    /** Once this tab knows its group, it leads it, or waits until it does. */
    join: (group: string) => visit?.join(group),
    close(): void {
      closed.abort();
      leave();
    },
  };
}
