/** So few clients may all come back at once. */
const FEW_STREAMS = 100;

/** 0.2 s to 1 s. */
const quickly = () => between(200, 1000);

/** How long clients are told to wait before they come again (`retry:`): each another time, so that they do not come together. */
export const RETRY_MS = {
  /** Should it lose us. */
  opened: (streams: number) => (streams < FEW_STREAMS ? quickly() : between(2000, 5000)),
  /** By a restart: so many streams end within `DRAIN_SECONDS`. */
  drained: (streams: number) => (streams < FEW_STREAMS ? quickly() : between(1000, 10_000)),
  aged: () => between(1000, 2000),
  refused: () => between(2000, 5000),
  /** It came too fast. */
  slowedDown: () => between(5000, 10_000),
};

const between = (min: number, max: number) => min + Math.random() * (max - min);
