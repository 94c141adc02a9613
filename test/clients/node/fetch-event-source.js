// @microsoft/fetch-event-source 2 (npm).
import { fetchEventSource } from "@microsoft/fetch-event-source";

Object.assign(globalThis, { window: globalThis, document: new EventTarget() }); // outside a browser only

class SignedOut extends Error {}

await fetchEventSource(process.env.STREAM_URL, {
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  openWhenHidden: true, // else it closes the stream whenever its page is hidden
  async onopen({ status }) {
    if (status === 401 || status === 403) throw new SignedOut();
    if (status !== 200) throw new Error(`${status}: come again`);
  },
  onmessage({ event, data }) {
    if (event === "notification") console.log(data); // other blocks may have no data: do not parse them all
  },
  onclose() {
    throw new Error("the end is no end: come again"); // else it is done
  },
  onerror(err) {
    if (err instanceof SignedOut) throw err; // what is thrown here ends it
  },
});
