// undici 7 (npm): Node's own EventSource.
import { Agent, EventSource, fetch } from "undici";

const dispatcher = new Agent().compose((dispatch) => (options, handler) => {
  const headers = { ...options.headers, authorization: `Bearer ${process.env.TOKEN}` };
  return dispatch({ ...options, headers }, handler);
});
let cursor = "";

function open() {
  const stream = new EventSource(`${process.env.STREAM_URL}?lastEventId=${cursor}`, { dispatcher });
  for (const name of ["ready", "notification", "state", "reset"]) {
    stream.addEventListener(name, ({ data, lastEventId }) => {
      cursor = lastEventId;
      if (name === "notification") console.log(data);
    });
  }
  stream.addEventListener("error", async () => {
    // It reconnects itself, except after a status other than 200. It does not report that status.
    if (stream.readyState !== EventSource.CLOSED) return;
    const url = new URL("unread-count", process.env.STREAM_URL);
    const answer = await fetch(url, { dispatcher }).catch(() => {});
    if (answer?.status === 401 || answer?.status === 403) console.error("sign in again");
    else setTimeout(open, 2000 + Math.random() * 3000);
  });
}

open();
setInterval(() => {}, 60_000); // a stream does not keep the process alive
