/** Why a connection ended; also the metric label. A closed list, so dashboards can rely on it. */
export type CloseReason =
  | "client"
  | "slow"
  | "vanished"
  | "expired"
  | "revoked"
  | "max_age"
  | "shutdown"
  | "unavailable";

/** Why a connection was not opened; also a metric label, of a closed list. */
export type RefusalReason = "draining" | "rate" | "recipient_full" | "full" | "unavailable";
