import { join } from 'node:path';
import { findFreePort } from '../../src/net/find-free-port.ts';
import { makeServerHome, type ServerHome, type ServerProcess, startServerProcess } from './server-process.ts';

/** Two homes of servers that share a database, a registry, keys and the base URL that clients know. */
export interface ServerPair {
  readonly homes: readonly [ServerHome, ServerHome];
  start(index: 0 | 1): Promise<ServerProcess>;
  /** Removes the folders. */
  remove(): void;
}

/** Makes a pair on the database that each of the URLs leads to. */
export async function makeServerPair(
  urls: readonly [string, string],
  options: Parameters<typeof makeServerHome>[0] = {},
): Promise<ServerPair> {
  const first = await makeServerHome({
    ...options,
    settings: { CPIS_MONGODB_URL: urls[0], ...options.settings },
  });
  const shared = {
    ...first.settings,
    CPIS_PUBLIC_BASE_URL: first.baseUrl,
    CPIS_SIGNING_KEY_FILE: join(first.folder, 'signing-key.json'),
    CPIS_NOTIFICATION_KEYS_FILE: join(first.folder, 'notification-keys.json'),
  };
  const port = await findFreePort();
  const origin = `http://127.0.0.1:${port}`;
  const homes: readonly [ServerHome, ServerHome] = [
    { ...first, settings: shared },
    {
      ...first,
      origin,
      baseUrl: `${origin}/FHIR/R4`,
      settings: {
        ...shared,
        CPIS_PORT: String(port),
        CPIS_DATA_FOLDER: join(first.folder, 'data-2'),
        CPIS_MONGODB_URL: urls[1],
      },
    },
  ];
  return {
    homes,
    start: (index) => startServerProcess(homes[index]),
    remove: first.remove,
  };
}
