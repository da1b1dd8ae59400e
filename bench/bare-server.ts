/** The yardstick: one Fastify route that returns a constant, in its own process. */
import { fastify } from 'fastify';

export interface BareAnswer {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

process.once('message', async (answer: BareAnswer) => {
  const app = fastify();
  app.get(answer.path, (_request, reply) => reply.headers(answer.headers).send(answer.body));
  process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }));
});
process.once('disconnect', () => process.exit(0));
