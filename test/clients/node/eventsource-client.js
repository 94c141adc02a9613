// eventsource-client 1 (npm).
import { createEventSource } from "eventsource-client";

const stream = createEventSource({
  url: process.env.STREAM_URL,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  // It does not check the status, and would retry for ever.
  async fetch(url, init) {
    const response = await fetch(url, init);
    if (response.status === 401 || response.status === 403) {
      console.error("sign in again");
      stream.close();
    }
    return response;
  },
  onMessage({ event, data }) {
    if (event === "notification") console.log(data);
  },
});
