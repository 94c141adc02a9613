// eventsource 4 (npm), which follows the HTML standard.
import { EventSource } from "eventsource";

let cursor = "";

function open() {
  const stream = new EventSource(`${process.env.STREAM_URL}?lastEventId=${cursor}`, {
    fetch: (url, { headers, ...init }) =>
      fetch(url, {
        ...init,
        headers: { ...headers, Authorization: `Bearer ${process.env.TOKEN}` },
      }),
  });
  for (const name of ["ready", "notification", "state", "reset"]) {
    stream.addEventListener(name, ({ data, lastEventId }) => {
      cursor = lastEventId;
      if (name === "notification") console.log(data);
    });
  }
  stream.addEventListener("error", ({ code }) => {
    // It reconnects itself, except after a status other than 200, such as a proxy's 502 while the service restarts.
    if (stream.readyState !== EventSource.CLOSED) return;
    if (code === 401 || code === 403) console.error("sign in again");
    else setTimeout(open, 2000 + Math.random() * 3000);
  });
}

open();
