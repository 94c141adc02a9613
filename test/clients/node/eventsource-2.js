// eventsource 2 (npm), which many packages still depend on.
import EventSource from "eventsource-2"; // in your program: "eventsource"

let cursor = "";

function open() {
  const stream = new EventSource(`${process.env.STREAM_URL}?lastEventId=${cursor}`, {
    headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  });
  for (const name of ["ready", "notification", "state", "reset"]) {
    stream.addEventListener(name, ({ data, lastEventId }) => {
      cursor = lastEventId;
      if (name === "notification") console.log(data);
    });
  }
  stream.addEventListener("error", ({ status }) => {
    // It reconnects itself, except after a status other than 200, 500, 502, 503 or 504.
    if (status === undefined || status >= 500) return;
    if (status === 401 || status === 403) console.error("sign in again");
    else setTimeout(open, 2000 + Math.random() * 3000);
  });
}

open();
