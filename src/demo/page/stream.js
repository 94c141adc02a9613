const EVENTS = ["ready", "notification", "state", "reset", "ping", "auth"];

// The service sends a ping at least every 30 s. After two missed pings the connection only looks open.
const SILENCE_MS = 75_000;
const STILL_CONNECTING_MS = 5_000;

/**
 * One recipient's event stream, kept open until `close`.
 *
 * States: `connecting`, then `live` after the event `ready`. After an error it is `connecting` again, and the browser reconnects
 * itself with Last-Event-ID. If that takes long, it is `offline`. A source that the browser gave up (CLOSED), or that is silent for
 * too long, is replaced by a new one that starts from the last id.
 *
 * A real application has a session cookie. For a start it needs only `new EventSource("/api/notifications/stream")` and
 * listeners for `notification` and `state`.
 */
export function openStream({ url, cursor, onState, onEvent }) {
  let lastEventId = cursor;
  let source;
  let attempt = 0;
  let silence;
  let retry;
  let patience;

  function connect() {
    clearTimeout(retry);
    source?.close();
    source = new EventSource(`${url}?lastEventId=${encodeURIComponent(lastEventId)}`);
    for (const name of EVENTS) source.addEventListener(name, receive);
    source.addEventListener("open", watch);
    source.addEventListener("error", recover);
    wait();
    watch();
  }

  function receive(event) {
    watch();
    // Empty until this source has received an event with an id.
    if (event.lastEventId) lastEventId = event.lastEventId;
    if (event.type === "ready") {
      attempt = 0;
      clearTimeout(patience);
      patience = undefined;
      onState("live");
    }
    onEvent(event.type, JSON.parse(event.data));
  }

  function recover() {
    wait();
    if (source.readyState !== EventSource.CLOSED) return;
    onState("offline");
    const delayMs = Math.min(30_000, 1000 * 2 ** attempt++); // 1 s, 2 s … 30 s, each times 0.5 to 1
    clearTimeout(retry);
    retry = setTimeout(connect, delayMs * (0.5 + Math.random() / 2));
  }

  function wait() {
    if (patience !== undefined) return;
    onState("connecting");
    patience = setTimeout(() => onState("offline"), STILL_CONNECTING_MS);
  }

  function watch() {
    clearTimeout(silence);
    silence = setTimeout(connect, SILENCE_MS);
  }

  function reconnectNow() {
    if (patience !== undefined) connect();
  }

  addEventListener("online", reconnectNow);
  connect();

  return {
    /** The position of the last event that `onEvent` has received. */
    cursor: () => lastEventId,
    close() {
      removeEventListener("online", reconnectNow);
      for (const timer of [silence, retry, patience]) clearTimeout(timer);
      source.close();
    },
  };
}
