import { join } from 'node:path';
import { systemClock } from '../../../clock/clock.ts';
import { londonDate } from '../../../cpis/london-date.ts';
import { buildLogger } from '../../../server/logger.ts';
import { openServer } from '../../../server/open-server.ts';
import { loadSettings } from '../../../settings/settings.ts';
import { type FhirClient, openFhirClient } from '../../../synthetic/fhir-client.ts';
import type { DemoWorld } from './demo-world.ts';

const hourMs = 3_600_000;

/** The clients of a server on another day. */
export interface LaterWorld {
  readonly authorities: readonly FhirClient[];
  readonly careProvider: FhirClient;
}

/**
 * Runs `act` with the same server in this process, on a data folder of its own, on a day (`YYYY-MM-DD`) from today on. The
 * data stay from one visit to the next.
 */
export async function visit<T>(
  { folder, registry }: DemoWorld,
  day: string,
  act: (world: LaterWorld) => Promise<T>,
): Promise<T> {
  const today = londonDate(Date.now());
  // An hour more, so that a change of the clocks until then does not lead to the day before.
  const aheadMs = day === today ? 0 : Date.parse(day) - Date.parse(today) + hourMs;
  const settings = loadSettings({
    CPIS_PORT: '0',
    CPIS_DATA_FOLDER: join(folder, 'later'),
    CPIS_REGISTRY_FILE: join(folder, 'registry.json'),
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
  });
  const server = await openServer(settings, {
    logger: buildLogger({ level: 'silent' }),
    onFatal: (error) => {
      throw error;
    },
    clock: {
      ...systemClock,
      now: () => systemClock.now() + aheadMs,
      ageMs: (atMs) => systemClock.ageMs(atMs - aheadMs),
    },
  });
  try {
    const [careProvider] = registry.careProviders;
    if (careProvider === undefined) throw new Error('the registry is incomplete');
    return await act({
      authorities: registry.authorities.map((client) => openFhirClient(server.baseUrl, client)),
      careProvider: openFhirClient(server.baseUrl, careProvider),
    });
  } finally {
    await server.close();
  }
}
