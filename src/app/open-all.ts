/** Registers how to close a part that was opened. Parts are closed in reverse order. */
export type OnClose = (close: () => unknown) => void;

/** Opens parts, and adds `close`, which closes them in reverse order. If a part cannot be opened, the parts before it are closed. */
export async function openAll<T>(open: (onClose: OnClose) => Promise<T>) {
  const closers: (() => unknown)[] = [];
  const close = async () => {
    for (const closePart of closers.splice(0)) await closePart();
  };
  try {
    const opened = await open((closePart) => closers.unshift(closePart));
    return { ...opened, close };
  } catch (err) {
    await close();
    throw err;
  }
}
