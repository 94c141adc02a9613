/** With so few clients all may reconnect at once. */
const FEW_CONNECTIONS = 100;

/** 0.2 s to 1 s. */
const quickly = () => between(200, 1000);

/** How long a client is told to wait before it reconnects: random, so that many do not come back at the same moment. */
export const RETRY_MS = {
  /** When the connection breaks; told as it opens. */
  opened: (connections: number) =>
    connections < FEW_CONNECTIONS ? quickly() : between(2000, 5000),
  /** When this instance shuts down: so many connections end within `DRAIN_SECONDS`. */
  drained: (connections: number) =>
    connections < FEW_CONNECTIONS ? quickly() : between(1000, 10_000),
  /** When the connection was closed for its age. */
  aged: () => between(1000, 2000),
  refused: () => between(2000, 5000),
  /** When it was refused because its IP address or recipient opens connections too fast. */
  slowedDown: () => between(5000, 10_000),
};

const between = (min: number, max: number) => min + Math.random() * (max - min);
