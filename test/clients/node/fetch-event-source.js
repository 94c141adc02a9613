// @microsoft/fetch-event-source 2 (npm).
import { fetchEventSource } from "@microsoft/fetch-event-source";

Object.assign(globalThis, { window: globalThis, document: new EventTarget() }); // outside a browser only

class SignedOut extends Error {}

await fetchEventSource(process.env.STREAM_URL, {
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  openWhenHidden: true, // otherwise it closes the stream while its page is hidden
  async onopen({ status }) {
    if (status === 401 || status === 403) throw new SignedOut();
    if (status !== 200) throw new Error(`${status}: reconnect`);
  },
  onmessage({ event, data }) {
    if (event === "notification") console.log(data); // other events may have no data: do not parse them
  },
  onclose() {
    throw new Error("ended: reconnect"); // otherwise it would stop
  },
  onerror(err) {
    if (err instanceof SignedOut) throw err; // an error thrown here ends it
  },
});
