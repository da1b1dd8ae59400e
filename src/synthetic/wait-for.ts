import { setTimeout as sleep } from 'node:timers/promises';

const everyMs = 10;

/** Polls a condition until it holds or the time limit passes. Returns whether it held. */
export async function waitFor(holds: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    if (await holds()) return true;
    if (Date.now() > endMs) return false;
    await sleep(everyMs);
  }
}
