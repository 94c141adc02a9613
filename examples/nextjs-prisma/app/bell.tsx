"use client";

import "@bellwire/client/element";
import { useRouter } from "next/navigation";

/** The bell. The page's data is fetched again when a notification comes, so that an open task shows the new response. */
export function Bell() {
  const router = useRouter();
  return <notification-bell onbell-notification={() => router.refresh()} />;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "notification-bell": { "onbell-notification"?: () => void };
    }
  }
}
