/** The clock of the database: leases run by it, so that servers whose clocks differ do not take over each other's. */
import type { Db } from 'mongodb';

/** Smaller differences are within what a lease allows for, and as large as what a slow answer could feign. */
const toleranceMs = 1_000;
const measureIntervalMs = 60_000;

export interface ServerClock {
  /** From this machine's time to the database's, epoch milliseconds. */
  toServer(ms: number): number;
  /** The way back. */
  toLocal(ms: number): number;
  stop(): void;
}

/** Measures at once, and then every minute. `now` is this machine's clock. */
export async function openServerClock(db: Pick<Db, 'command'>, now: () => number): Promise<ServerClock> {
  let offsetMs = 0;
  const measure = async (): Promise<void> => {
    const sentMs = now();
    const { localTime } = await db.command({ hello: 1 });
    const answeredMs = now();
    if (!(localTime instanceof Date)) return;
    const differenceMs = localTime.getTime() - (sentMs + answeredMs) / 2;
    offsetMs = Math.abs(differenceMs) <= toleranceMs + (answeredMs - sentMs) / 2 ? 0 : Math.round(differenceMs);
  };
  await measure();
  // A database that does not answer keeps the difference that was measured last.
  const timer = setInterval(() => void measure().catch(() => undefined), measureIntervalMs);
  timer.unref();
  return {
    toServer: (ms) => ms + offsetMs,
    toLocal: (ms) => ms - offsetMs,
    stop: () => clearInterval(timer),
  };
}
