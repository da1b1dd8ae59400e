import type { Test } from 'tap';
import { openSender, type SenderOptions } from '../../../src/notification/outbound-http/sender.ts';

/** Opens a sender to loopback that is closed at the end of the test. Returns how to send a body to a URL. */
export function sender(test: Test, more: Partial<SenderOptions> = {}) {
  const opened = openSender({
    resolve: async () => [{ address: '127.0.0.1', family: 4 }],
    allowLoopback: true,
    connectTimeoutMs: 30_000,
    // Only a test that has failed reaches it.
    deadlineMs: 60_000,
    responseCapBytes: 65_536,
    connectionsPerOrigin: 2,
    now: Date.now,
    sign: () => [],
    ...more,
  });
  test.teardown(() => opened.close());
  const signing = { id: 'event-1', secrets: [] };
  return (url: string, body = '{}') =>
    opened.send({ method: 'PUT', url, headers: ['X-Same', '1', 'X-Same', '2'], body, signing });
}
