import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DemoWorld } from './demo-world.ts';

const renewEveryMs = 60_000;

/**
 * Writes the Authorization header of an EPR to a file that only its owner can read (`curl -H @file`), and writes it anew
 * until the world closes, because a token is good for minutes only. Gives the file's path.
 */
export async function openCurlHeader({ folder, careProviders: [epr], closed }: DemoWorld): Promise<string> {
  const file = join(folder, 'epr.header');
  const write = async (): Promise<void> => {
    const token = await epr.client.token();
    if (!closed.aborted) writeFileSync(file, `Authorization: Bearer ${token}\n`, { mode: 0o600 });
  };
  await write();
  // A renewal that fails is made up by the next one, well before the old token ends.
  const timer = setInterval(() => void write().catch(() => undefined), renewEveryMs).unref();
  closed.addEventListener('abort', () => clearInterval(timer), { once: true });
  return file;
}
