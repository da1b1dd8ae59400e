import { performance } from 'node:perf_hooks';
import type { Stage } from '../stage/stage.ts';

/** Starts the server in its own process. Every client requests a token. */
export async function begin({ world, screen, check }: Stage): Promise<void> {
  const { authorities, careProviders, operator } = world;
  const startedMs = performance.now();
  await world.server.start();
  const tookMs = Math.round(performance.now() - startedMs);
  screen.table([
    ['server', world.baseUrl, `ready after ${tookMs} ms`],
    ...authorities.map(({ name, receiver, id }) => [
      'authority',
      `${name} (${id})`,
      `receives at ${receiver.endpoint}`,
    ]),
    ...careProviders.map(({ name, professional }) => ['EPR', name, `used by ${professional}`]),
  ]);
  const clients = [...authorities, ...careProviders].map(({ client }) => client).concat(operator);
  const tokens = await Promise.all(clients.map((client) => client.token()));
  const distinct = new Set(tokens).size;
  check(
    `each of ${clients.length} clients received a token with private_key_jwt`,
    distinct === clients.length,
    world.assertionAlg,
  );
}
