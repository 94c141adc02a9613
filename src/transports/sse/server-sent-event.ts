/** One block of an event stream. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export interface ServerSentEvent {
  event: string;
  /** JSON of one line, as `encodeJson` makes it. */
  data: string;
  id?: string;
  /** How long the client waits before it comes again, in milliseconds. */
  retryMs?: number;
}

const EVENT = /^[a-z]+$/;
const ID = /^[A-Za-z0-9._-]{1,128}$/;
const LINE_END = /[\r\n]/;

/**
 * One event as text. `id` comes last: some clients keep it when its line is read, before the event is
 * complete. Throws TypeError for a field that the format cannot carry, since a line end in it would begin a field of its own.
 */
export function encodeEvent({ event, data, id, retryMs }: ServerSentEvent): string {
  if (!EVENT.test(event)) throw new TypeError(`not an event name: ${JSON.stringify(event)}`);
  if (id !== undefined && !ID.test(id)) throw new TypeError(`not an id: ${JSON.stringify(id)}`);
  if (LINE_END.test(data)) throw new TypeError("data of more than one line");
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  // Never in a block of its own: an event with empty data for ten clients, and overlooked by three.
  const retryLine = retryMs === undefined ? "" : `retry: ${Math.round(retryMs)}\n`;
  return `${retryLine}event: ${event}\ndata: ${data}\n${idLine}\n`;
}
