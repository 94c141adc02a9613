import type { IncomingMessage } from "node:http";

const LOOPBACK = /^(::ffff:)?127\.|^::1$/;
/** Without the port. A page whose host name was made to lead to 127.0.0.1 (DNS rebinding) names another host. */
const LOCAL_HOST = /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/i;
/** A proxy on this machine also comes from the loopback. These tell that it passes on what somebody else asks. */
const OF_PROXIES = ["x-forwarded-for", "forwarded", "via"];

/** Whether a program on this machine asks for itself, as far as that can be told. */
export const isLocal = ({
  socket,
  headers,
  httpVersion,
}: Pick<IncomingMessage, "socket" | "headers" | "httpVersion">): boolean =>
  // nginx before 1.29.7 asks with 1.0, and without any of those headers, unless told otherwise.
  httpVersion === "1.1" &&
  LOOPBACK.test(socket.remoteAddress ?? "") &&
  LOCAL_HOST.test(headers.host ?? "") &&
  OF_PROXIES.every((name) => headers[name] === undefined);
