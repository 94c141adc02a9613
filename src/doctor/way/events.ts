/** One block of an event stream, as it was sent. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export interface Event {
  event: string;
  data: Readonly<Record<string, unknown>>;
  id: string | undefined;
  retry: string | undefined;
}

/** Takes text as it arrives and returns the events that it completes. */
export function createParser(): (text: string) => Event[] {
  let pending = "";
  return (text) => {
    pending += text;
    const blocks = pending.split("\n\n");
    pending = blocks.pop() ?? "";
    return blocks.map(parse);
  };
}

function parse(block: string): Event {
  const fields = new Map(
    block.split("\n").map((line) => {
      const [name = "", ...rest] = line.split(":");
      return [name, rest.join(":").trimStart()] as const;
    }),
  );
  return {
    event: fields.get("event") ?? "",
    data: toObject(fields.get("data") ?? ""),
    id: fields.get("id"),
    retry: fields.get("retry"),
  };
}

/** What is not a JSON object is not ours, and has no fields. */
export function toObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
