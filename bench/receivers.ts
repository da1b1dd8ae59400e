/**
 * The endpoints of many local authorities in one process: `/well/<n>` responds at once, `/slow/<n>` late, `/dead/<n>`
 * never.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

type Question = { readonly kind: 'open' } | { readonly kind: 'read' };

/** Arrivals at the healthy endpoints: request id of the AuditEvent -> time of arrival in epoch milliseconds. */
export interface Arrivals {
  readonly arrived: readonly (readonly [requestId: string, atMs: number])[];
}

const slowMs = 5_000;
const arrived: [string, number][] = [];
const nowMs = (): number => performance.timeOrigin + performance.now();

const server = createServer((request, response) => {
  const atMs = nowMs();
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.once('end', () => {
    const [, kind] = (request.url ?? '').split('/');
    if (kind === 'dead') return;
    if (kind === 'slow') {
      setTimeout(() => response.writeHead(200).end(), slowMs);
      return;
    }
    response.writeHead(200).end();
    const event: { entity?: { what?: { identifier?: { value?: string } } }[] } = JSON.parse(
      Buffer.concat(chunks).toString(),
    );
    const requestId = event.entity?.find(({ what }) => what?.identifier?.value !== undefined)?.what?.identifier?.value;
    if (requestId !== undefined) arrived.push([requestId, atMs]);
  });
});

process.on('message', (question: Question) => {
  if (question.kind === 'read') {
    process.send?.({ arrived: arrived.splice(0) } satisfies Arrivals);
    return;
  }
  server.listen(0, '127.0.0.1', () => {
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
});
process.once('disconnect', () => process.exit(0));
