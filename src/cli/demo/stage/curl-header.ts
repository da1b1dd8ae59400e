import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DemoWorld } from './demo-world.ts';

/** Shorter than the 30 s before its end in which a token is renewed, so that no header ends before the next is written. */
const renewEveryMs = 15_000;

/**
 * Writes the Authorization header of an EPR to a file that only its owner can read, for `curl -H @file`. Renews it
 * until the world closes, because a token is valid for minutes only. Returns the path of the file.
 */
export async function openCurlHeader({ folder, careProviders: [epr], closed }: DemoWorld): Promise<string> {
  const file = join(folder, 'epr.header');
  const write = async (): Promise<void> => {
    const token = await epr.client.token();
    if (!closed.aborted) writeFileSync(file, `Authorization: Bearer ${token}\n`, { mode: 0o600 });
  };
  await write();
  // If a renewal fails, the next one still comes well before the old token expires.
  const timer = setInterval(() => void write().catch(() => undefined), renewEveryMs).unref();
  closed.addEventListener('abort', () => clearInterval(timer), { once: true });
  return file;
}
