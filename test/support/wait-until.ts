import { setTimeout as sleep } from 'node:timers/promises';

const everyMs = 10;

/**
 * Asks until the answer is true. The limit only ends a test that has failed: it is long, so that a busy machine does not
 * reach it. Rejects with what was waited for.
 */
export async function waitUntil(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  limitMs = 120_000,
): Promise<void> {
  const startMs = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startMs > limitMs) throw new Error(`waited ${limitMs / 1_000} s for: ${what}`);
    await sleep(everyMs);
  }
}
