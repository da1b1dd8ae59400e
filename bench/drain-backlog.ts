/** `node bench/drain-backlog.ts`: drains a backlog of 100,000 to one endpoint and prints speed and memory as JSON. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openDeliveryWorld } from '../test/notification/delivery-world.ts';

const { values } = parseArgs({ options: { events: { type: 'string', default: '100000' } } });
const events = Number(values.events);
const authority = 'E08000035';
let arrived = 0;
const server = createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    arrived += 1;
    response.writeHead(200).end();
  });
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const world = await openDeliveryWorld({ limits: { perSecond: 100_000 }, origins: [origin] });
for (let owed = 0; owed < events; owed += 5_000) await world.owe(authority, Math.min(5_000, events - owed));
const rssMb = (): number => Math.round(process.memoryUsage().rss / 1_048_576);
const samples: { readonly delivered: number; readonly rssMb: number }[] = [];
const startedMs = performance.now();
await world.subscribe(authority, origin);
for (;;) {
  const row = await world.backlogOf(authority);
  samples.push({ delivered: row?.delivered ?? 0, rssMb: rssMb() });
  if (row?.undelivered === 0) break;
  await sleep(2_000);
}
const seconds = (performance.now() - startedMs) / 1_000;
await world.stop();
world.remove();
server.close();
server.closeAllConnections();
const report = { events, arrived, seconds: Math.round(seconds), perSecond: Math.round(events / seconds), samples };
process.stdout.write(`${JSON.stringify(report)}\n`);
