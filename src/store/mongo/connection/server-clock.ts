/** The clock of the database. Leases run by it, so that servers whose clocks differ do not take over each other's leases. */
import type { Db } from 'mongodb';

/** Smaller differences are ignored: leases allow for them, and a slow answer could look like one. */
const toleranceMs = 1_000;
const measureIntervalMs = 60_000;

export interface ServerClock {
  /** Converts this machine's time to the database's, epoch milliseconds. */
  toServer(ms: number): number;
  /** Converts the database's time to this machine's. */
  toLocal(ms: number): number;
  stop(): void;
}

/** Measures the difference now and then every minute. `now` is this machine's clock. */
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
  // While the database does not answer, the last measured difference stays in use.
  const timer = setInterval(() => void measure().catch(() => undefined), measureIntervalMs);
  timer.unref();
  return {
    toServer: (ms) => ms + offsetMs,
    toLocal: (ms) => ms - offsetMs,
    stop: () => clearInterval(timer),
  };
}
