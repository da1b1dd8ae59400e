import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DemoWorld } from './demo-world.ts';

/** A request that can be made with curl as long as the demo runs. */
export interface CurlAccess {
  /** Of the file that holds the Authorization header, readable by its owner only, kept valid. */
  readonly headerFile: string;
  stop(): void;
}

const renewEveryMs = 60_000;

/** Writes an EPR's token to a header file (`curl -H @file`) and renews it, for it is good for minutes only. */
export async function openCurlAccess({ folder, careProviders: [epr] }: DemoWorld): Promise<CurlAccess> {
  const headerFile = join(folder, 'epr.header');
  const write = async (): Promise<void> => {
    writeFileSync(headerFile, `Authorization: Bearer ${await epr.client.token()}\n`, { mode: 0o600 });
  };
  await write();
  // A renewal that fails is made up by the next one, well before the old token ends.
  const timer = setInterval(() => void write().catch(() => undefined), renewEveryMs).unref();
  return { headerFile, stop: () => clearInterval(timer) };
}
