/** With fewer connections than this, all clients may reconnect at once. */
const FEW_CONNECTIONS = 100;

/** How long a client is told to wait before it reconnects. Random, so that many do not reconnect at the same moment. */
export const RETRY_MS = {
  /** If the connection breaks. Sent when it opens. */
  opened: (connections: number) =>
    connections < FEW_CONNECTIONS ? between(200, 1000) : between(2000, 5000),
  /**
   * If this instance shuts down and closes this many connections. A few come back soon and often: the next process needs half a second
   * to start, and a client that comes before that waits once more.
   */
  drained: (connections: number) =>
    connections < FEW_CONNECTIONS ? between(100, 300) : between(1000, 10_000),
  /** If the connection was closed because of its age. */
  aged: () => between(1000, 2000),
  refused: () => between(2000, 5000),
  /** If it was refused because its IP address or recipient opens connections too fast. */
  slowedDown: () => between(5000, 10_000),
};

const between = (min: number, max: number) => min + Math.random() * (max - min);
