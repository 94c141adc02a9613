const EVENTS = ["ready", "notification", "state", "reset", "ping", "auth"];

// The service sends a ping every 30 s at the least: two missed and a bit is a connection that only looks open.
const SILENCE_MS = 75_000;
const STILL_CONNECTING_MS = 5_000;

/**
 * One recipient's event stream, kept open until `close`.
 *
 * States: `connecting` → `live` once the service said `ready`; an error leads back to `connecting`, which the
 * browser mends by itself with Last-Event-ID, and to `offline` when that takes long. A source the browser
 * gave up (CLOSED), or one that went silent, is replaced by a new one from the last id.
 *
 * In a real application, with its session cookie, `new EventSource("/api/notifications/stream")` and
 * listeners for `notification` and `state` are enough to begin with.
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
    // Empty until this source has seen an event with an id.
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
    /** The position of what was handed on: `onEvent` has had everything up to here. */
    cursor: () => lastEventId,
    close() {
      removeEventListener("online", reconnectNow);
      for (const timer of [silence, retry, patience]) clearTimeout(timer);
      source.close();
    },
  };
}
