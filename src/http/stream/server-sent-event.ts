/** One block of an event stream. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export interface ServerSentEvent {
  event: string;
  /** JSON of one line, as `encodeJson` makes it. */
  data: string;
  id?: string;
}

const EVENT = /^[a-z]+$/;
const ID = /^[A-Za-z0-9._-]{1,128}$/;
const LINE_END = /[\r\n]/;

/**
 * One event as text. `id` comes last: some clients keep it when its line is read, before the event is
 * complete. Throws TypeError for a field that the format cannot carry, since a line end in it would begin a field of its own.
 */
export function encodeEvent({ event, data, id }: ServerSentEvent): string {
  if (!EVENT.test(event)) throw new TypeError(`not an event name: ${JSON.stringify(event)}`);
  if (id !== undefined && !ID.test(id)) throw new TypeError(`not an id: ${JSON.stringify(id)}`);
  if (LINE_END.test(data)) throw new TypeError("data of more than one line");
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return `event: ${event}\ndata: ${data}\n${idLine}\n`;
}

/** How long the client waits before it comes again, in milliseconds. */
export const encodeRetry = (ms: number) => `retry: ${Math.round(ms)}\n\n`;

/** A comment: it keeps proxies from closing a quiet stream, and no script sees it. */
export const HEARTBEAT = ":hb\n";
