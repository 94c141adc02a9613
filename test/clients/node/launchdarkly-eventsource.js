// launchdarkly-eventsource 2 (npm).
import { EventSource } from "launchdarkly-eventsource";

const stream = new EventSource(process.env.STREAM_URL, {
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
  readTimeoutMillis: 60_000, // longer than two heartbeats
  errorFilter: ({ status }) => status !== 401 && status !== 403, // otherwise 429 ends it too
  maxBackoffMillis: 30_000,
  jitterRatio: 0.5,
});
stream.addEventListener("notification", ({ data }) => console.log(data));
stream.addEventListener("error", () => {}); // without a listener it throws
stream.addEventListener("closed", () => console.error("sign in again"));
