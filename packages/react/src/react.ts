"use client";

import { type Bell, type BellOptions, type BellSnapshot, createBell } from "@bellwire/client";
import {
  createContext,
  createElement,
  type ReactNode,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";

export type { Bell, BellOptions, BellSnapshot, Notification, Status } from "@bellwire/client";

/** What is shown while there is no bell: on the server, and until the page has mounted. */
const BEFORE: BellSnapshot = {
  status: "connecting",
  unread: 0,
  unseen: 0,
  notifications: [],
  hasMore: false,
  preferences: undefined,
};

/** Null outside of a provider. */
const BellContext = createContext<Bell | undefined | null>(null);

export type BellProviderProps = BellOptions & { children?: ReactNode };

/**
 * Opens the bell when it mounts, closes it when it unmounts, and opens another one when an option changes. `getToken` may be another function at each
 * render. In an effect, because only a browser runs effects, and because StrictMode closes the first bell: the second mount needs its own.
 */
export function BellProvider({ children, getToken, ...options }: BellProviderProps): ReactNode {
  const [bell, setBell] = useState<Bell>();
  const newestGetToken = useRef(getToken);
  useEffect(() => {
    newestGetToken.current = getToken;
  });
  const identity = JSON.stringify([options, getToken !== undefined]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the options are new objects at each render; `identity` is what they say
  useEffect(() => {
    const askNewest = async () => (await newestGetToken.current?.()) ?? "";
    const opened = createBell({ ...options, ...(getToken && { getToken: askNewest }) });
    setBell(opened);
    return opened.close;
  }, [identity]);
  return createElement(BellContext.Provider, { value: bell }, children);
}

/** The bell, for its verbs and `on`. Undefined on the server and until the provider has mounted. */
export function useBell(): Bell | undefined {
  const bell = useContext(BellContext);
  if (bell === null) throw new Error("Put a <BellProvider> around what uses the bell.");
  return bell;
}

/** What the page shows: `{ notifications, hasMore, unread, unseen, status, preferences }`. */
export const useNotifications = (): BellSnapshot => useSnapshot((snapshot) => snapshot);
export const useUnreadCount = (): number => useSnapshot(({ unread }) => unread);
export const useBellStatus = (): BellSnapshot["status"] => useSnapshot(({ status }) => status);

function useSnapshot<Value>(select: (snapshot: BellSnapshot) => Value): Value {
  const bell = useBell();
  return useSyncExternalStore(
    bell?.subscribe ?? subscribeToNothing,
    () => select(bell?.getSnapshot() ?? BEFORE),
    () => select(BEFORE),
  );
}

const subscribeToNothing = () => () => {};
