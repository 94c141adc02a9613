// The browser's own EventSource, on a page of the same host, with the token in a cookie.
let cursor = "";

function open() {
  const stream = new EventSource(`/api/notifications/stream?lastEventId=${cursor}`);
  for (const name of ["ready", "notification", "state", "reset"]) {
    stream.addEventListener(name, ({ data, lastEventId }) => {
      cursor = lastEventId;
      if (name === "notification") console.log(data);
    });
  }
  stream.addEventListener("error", async () => {
    // It reconnects itself, except after a status other than 200. It does not report that status.
    if (stream.readyState !== EventSource.CLOSED) return;
    const answer = await fetch("/api/notifications/unread-count").catch(() => {});
    if (answer?.status === 401 || answer?.status === 403) console.error("sign in again");
    else setTimeout(open, 2000 + Math.random() * 3000);
  });
}

open();
