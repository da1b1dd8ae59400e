import { setTimeout as sleep } from 'node:timers/promises';

const everyMs = 10;

/** Asks until it is so, or until the limit; whether it came to be so. */
export async function waitFor(isSo: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    if (await isSo()) return true;
    if (Date.now() > endMs) return false;
    await sleep(everyMs);
  }
}
