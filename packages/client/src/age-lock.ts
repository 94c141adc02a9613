/** Other tabs answer within milliseconds. */
const ANSWER_MS = 500;

/** What a tab says of itself: it is new, it is there, it goes, or it takes the lock from whichever tab has it. */
type Call = [age: string, says: "new" | "there" | "gone" | "steal"];

/**
 * `navigator.locks.request()` for insecure contexts, which have no Web Locks: the oldest of the tabs that request the lock has it. If that tab crashes,
 * another one must steal the lock. For a moment two tabs may have it.
 */
export function requestByAge(
  name: string,
  { steal, signal }: { steal?: boolean; signal?: AbortSignal },
  hold: () => Promise<void>,
): Promise<void> {
  const channel = new BroadcastChannel(name);
  const age = `${Date.now()} ${Math.random()}`;
  const older = new Set<string>();
  let isMine = false;
  const say = (says: Call[1]) => channel.postMessage([age, says]);
  return new Promise<void>((resolve, reject) => {
    function take() {
      if (isMine || older.size > 0) return;
      isMine = true;
      resolve(hold());
    }
    channel.onmessage = ({ data: [other, says] }: MessageEvent<Call>) => {
      if (says === "steal" && isMine) reject();
      if (says === "steal" || (says !== "gone" && other < age)) older.add(other);
      if (says === "gone" && older.delete(other)) take();
      if (says === "new" && age < other) say("there");
    };
    signal?.addEventListener("abort", reject);
    say(steal ? "steal" : "new");
    setTimeout(take, steal ? 0 : ANSWER_MS);
  }).finally(() => {
    say("gone");
    channel.close();
  });
}
