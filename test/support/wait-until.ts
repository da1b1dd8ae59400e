import { waitFor } from '../../src/synthetic/wait-for.ts';

/**
 * Asks until the answer is true. The limit only ends a test that has failed: it is long, so that a busy machine does not
 * reach it. Rejects with what was waited for.
 */
export async function waitUntil(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  limitMs = 120_000,
): Promise<void> {
  if (!(await waitFor(isSo, limitMs))) throw new Error(`waited ${limitMs / 1_000} s for: ${what}`);
}
