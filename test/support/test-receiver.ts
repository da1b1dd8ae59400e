import type { Test } from 'tap';
import { openReceiver, type Receiver } from './receiver.ts';

/** Opens a receiver that is closed at the end of the test. */
export async function receiver(test: Test): Promise<Receiver> {
  const opened = await openReceiver();
  test.teardown(() => opened.close());
  return opened;
}

export const eventOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Returns the ids of the events that a receiver was sent, in order. */
export const eventsAt = (endpoint: Receiver): string[] => endpoint.received.map(({ path }) => eventOf(path));
