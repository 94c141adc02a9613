/** Called while the bytes of a response arrive, in pieces that may end anywhere. */
export interface ResponseEvents {
  onHead: (status: number) => void;
  onBody: (bytes: Buffer) => void;
  /** The response is complete. This is not called for one that ends with its connection, which could also be a cut. */
  onEnd: () => void;
}

type Part = "head" | "chunk size" | "chunk" | "chunk end" | "trailer" | "rest" | "nothing";

/**
 * Reads one HTTP/1.1 response. It is written by hand because HTTP clients cannot cut a connection in the middle of a
 * chunk size. Returns the function that takes the bytes.
 */
export function createResponseReader({ onHead, onBody, onEnd }: ResponseEvents) {
  let pending: Buffer = Buffer.alloc(0);
  let part: Part = "head";
  /** In the chunk, or in the whole body. */
  let bytesLeft = 0;

  function takeLine(): string | undefined {
    const end = pending.indexOf("\r\n");
    if (end === -1) return undefined;
    const line = pending.toString("latin1", 0, end);
    pending = pending.subarray(end + 2);
    return line;
  }

  function takeBody(): boolean {
    const bytes = pending.subarray(0, bytesLeft);
    pending = pending.subarray(bytes.length);
    bytesLeft -= bytes.length;
    if (bytes.length > 0) onBody(bytes);
    return bytesLeft === 0;
  }

  function takeHead(): Part | undefined {
    const end = pending.indexOf("\r\n\r\n");
    if (end === -1) return undefined;
    const head = pending.toString("latin1", 0, end);
    pending = pending.subarray(end + 4);
    onHead(Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1]));
    if (/^transfer-encoding: *chunked/im.test(head)) return "chunk size";
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    bytesLeft = length === undefined ? Number.POSITIVE_INFINITY : Number(length);
    return "rest";
  }

  /** The next part, or undefined while this one is incomplete. */
  function takePart(): Part | undefined {
    if (part === "head") return takeHead();
    if (part === "chunk" && takeBody()) return "chunk end";
    if (part === "rest" && takeBody()) return end();
    if (part === "chunk" || part === "rest" || part === "nothing") return undefined;
    const line = takeLine();
    if (line === undefined) return undefined;
    if (part === "chunk end") return "chunk size";
    if (part === "trailer") return line === "" ? end() : "trailer";
    bytesLeft = Number.parseInt(line, 16);
    return bytesLeft === 0 ? "trailer" : "chunk";
  }

  function end(): Part {
    onEnd();
    return "nothing";
  }

  return (bytes: Buffer): void => {
    pending = Buffer.concat([pending, bytes]);
    for (let next = takePart(); next; next = takePart()) part = next;
  };
}
