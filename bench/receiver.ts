/** A healthy endpoint of a local authority: responds with 200 and counts distinct AuditEvents. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

type Question = { readonly kind: 'open' } | { readonly kind: 'count'; readonly events: number };

const seen = new Set<string>();
let wanted = Number.POSITIVE_INFINITY;
let firstMs = 0;

const server = createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    response.writeHead(200).end();
    if (request.method !== 'PUT') return;
    if (seen.size === 0) firstMs = performance.now();
    seen.add(request.url ?? '');
    if (seen.size !== wanted) return;
    process.send?.({ events: seen.size, seconds: (performance.now() - firstMs) / 1000 });
  });
});

process.on('message', (question: Question) => {
  if (question.kind === 'count') {
    wanted = question.events;
    return;
  }
  server.listen(0, '127.0.0.1', () => {
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
});
process.once('disconnect', () => process.exit(0));
