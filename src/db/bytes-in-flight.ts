/** The bytes that one response, or one page of a replay, holds. */
export interface Reservation {
  readonly recipientId: string;
  bytes: number;
  /** Called when the reservation has to wait. A caller that also holds another reservation must then finish with that one. */
  readonly onWait?: () => void;
  /** Maximum wait; then the reservation is closed. */
  readonly maxWaitMs?: number;
  pending?: Pending | undefined;
  isClosed?: boolean;
}

/** A request for bytes that has not been granted yet. */
interface Pending {
  readonly reservation: Reservation;
  readonly bytes: number;
  readonly settle: (isGranted: boolean) => void;
}

/** What one recipient holds and waits for. */
interface Account {
  /** Bytes that are held, or that wait in the common queue. */
  bytes: number;
  /** Waiting for this recipient's own reservations to shrink. */
  readonly pending: Set<Pending>;
}

export type BytesInFlight = ReturnType<typeof createBytesInFlight>;

/**
 * Limits how many bytes of rows are in memory at a time. Bytes are reserved before the rows are read, and held until the clients
 * have read them.
 *
 * Requests that do not fit wait in one queue; the first to come are served first. A recipient may hold a quarter of the limit, or a
 * single reservation of any size. A request beyond that waits outside the queue until the recipient's own reservations shrink, so it
 * delays no other recipient. A request larger than the whole limit is granted when nothing else is held.
 *
 * There is no SQL here. The file is in `db/` because a replay reserves its bytes before it reads.
 */
export function createBytesInFlight(limit: number) {
  const queue = new Set<Pending>();
  const accounts = new Map<string, Account>();
  let total = 0;

  const fits = (bytes: number) => total === 0 || total + bytes <= limit;
  const fitsAccount = (account: Account | undefined, bytes: number) =>
    !account || account.bytes === 0 || account.bytes + bytes <= limit / 4;

  function accountOf({ recipientId }: Reservation): Account {
    const account = accounts.get(recipientId) ?? { bytes: 0, pending: new Set() };
    accounts.set(recipientId, account);
    return account;
  }

  function grantFromQueue(): void {
    for (const next of queue) {
      if (!fits(next.bytes)) return;
      queue.delete(next);
      next.reservation.pending = undefined;
      total += next.bytes;
      next.reservation.bytes += next.bytes;
      next.settle(true);
    }
  }

  /** Must follow every change of an account. */
  function grantPending({ recipientId }: Reservation, account: Account): void {
    for (const next of account.pending) {
      if (!fitsAccount(account, next.bytes)) break;
      account.pending.delete(next);
      account.bytes += next.bytes;
      queue.add(next);
    }
    if (account.bytes === 0 && account.pending.size === 0) accounts.delete(recipientId);
    grantFromQueue();
  }

  /** Sets what the reservation holds. Fewer bytes are given back. More bytes are never refused, because they are already in memory. */
  function resize(reservation: Reservation, bytes: number): void {
    if (reservation.isClosed && bytes > 0) return;
    const account = accountOf(reservation);
    const more = bytes - reservation.bytes;
    total += more;
    account.bytes += more;
    reservation.bytes = bytes;
    grantPending(reservation, account);
  }

  /** Gives everything back, and refuses what the reservation waits for. */
  function close(reservation: Reservation): void {
    reservation.isClosed = true;
    if (reservation.pending) {
      const account = accountOf(reservation);
      if (queue.delete(reservation.pending)) account.bytes -= reservation.pending.bytes;
      else account.pending.delete(reservation.pending);
      reservation.pending.settle(false);
      reservation.pending = undefined;
    }
    resize(reservation, 0);
  }

  return {
    /** Resolves to true when the bytes are granted, and to false when the reservation is closed. */
    reserve(reservation: Reservation, bytes: number): Promise<boolean> {
      if (reservation.isClosed) return Promise.resolve(false);
      return new Promise((resolve) => {
        let timer: NodeJS.Timeout | undefined;
        const settle = (isGranted: boolean) => {
          clearTimeout(timer);
          resolve(isGranted);
        };
        const account = accountOf(reservation);
        reservation.pending = { reservation, bytes, settle };
        account.pending.add(reservation.pending);
        grantPending(reservation, account);
        if (!reservation.pending) return;
        if (reservation.maxWaitMs !== undefined)
          timer = setTimeout(close, reservation.maxWaitMs, reservation);
        reservation.onWait?.();
      });
    },

    /** Grows the reservation to this size if the bytes are free and nobody waits for them. Returns its size. */
    grow(reservation: Reservation, bytes: number): number {
      const more = bytes - reservation.bytes;
      const account = accounts.get(reservation.recipientId);
      const isWanted = queue.size + (account?.pending.size ?? 0) > 0;
      const isFree = fits(more) && fitsAccount(account, more);
      if (more > 0 && !reservation.isClosed && !isWanted && isFree) resize(reservation, bytes);
      return reservation.bytes;
    },

    resize,

    close,

    reserved: () => total,
  };
}
