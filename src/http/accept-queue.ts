import type { Socket } from "node:net";

/** While connections come in every turn of the event loop, one is served in so many turns. */
const TURNS_PER_SERVED = 4;

/**
 * Takes each connection that Node has accepted, and serves them later: first come, first served. In a turn of the event loop Node
 * accepts one connection. If it also served one in each turn, it would accept too slowly when thousands connect at once. The kernel's
 * queue (4096 connections) would overflow, and a client whose packet was dropped tries again only after 1, 3, 7, 15, 31 and 63 s. So
 * while connections come, most turns only accept. A connection that comes alone is served in the next turn.
 */
export function createAcceptQueue(serve: (socket: Socket) => void): (socket: Socket) => void {
  const waiting: Socket[] = [];
  let turns = 0;
  let hasCome = false;

  function takeTurn(): void {
    if (!hasCome || ++turns >= TURNS_PER_SERVED) serveNext();
    hasCome = false;
    if (waiting.length > 0) setImmediate(takeTurn);
  }

  function serveNext(): void {
    turns = 0;
    const socket = waiting.shift()?.off("error", ignore);
    if (socket && !socket.destroyed) serve(socket);
  }

  return (socket) => {
    hasCome = true;
    if (waiting.push(socket.on("error", ignore)) === 1) setImmediate(takeTurn);
  };
}

/** The client has left. "close" follows. */
function ignore() {}
