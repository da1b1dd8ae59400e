/** Routes for operators: health and metrics. */
import type { FastifyInstance } from 'fastify';
import { fault } from '../fhir/fault.ts';
import type { ServerOptions } from './server-options.ts';
import { certificateOf } from './tls.ts';

const json = 'application/json; charset=utf-8';

/**
 * Adds `/health/live` (200 while the process runs), `/health/ready` (503 while it should get no requests) and
 * `/metrics`.
 */
export function addOperationRoutes(app: FastifyInstance, options: ServerOptions): void {
  app.get('/health/live', (request, reply) => {
    request.exchange.route = { template: '/health/live' };
    reply.header('content-type', json).send('{"status":"pass"}');
  });

  app.get('/health/ready', (request, reply) => {
    request.exchange.route = { template: '/health/ready' };
    const ready = options.isReady();
    const notes = options.notes();
    reply
      .code(ready ? 200 : 503)
      .header('content-type', json)
      .send(JSON.stringify({ status: ready ? 'pass' : 'fail', ...(notes.length === 0 ? {} : { notes }) }));
  });

  app.get('/metrics', async (request, reply) => {
    request.exchange.route = { template: '/metrics' };
    const certificate = () => certificateOf(request.raw.socket);
    if (!(await options.authorizeMetrics(request.headers.authorization, certificate))) {
      throw fault('forbidden', 'Only operators may read the metrics.');
    }
    return reply.header('content-type', options.metrics.contentType).send(await options.metrics.metrics());
  });
}
