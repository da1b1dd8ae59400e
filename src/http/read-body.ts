/** Reads request bodies: within the limit of their route, and within the budget of all bodies. */
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { fault } from '../fhir/fault.ts';
import { parseJsonInSteps } from '../fhir/json.ts';
import type { JsonLimits } from '../fhir/json-scan.ts';
import { finishSteps } from '../fhir/steps.ts';
import { inTurns, withTurnsOf } from '../interactions/yielding/in-turns.ts';
import type { BodyBudget } from './body-budget.ts';

/** A JSON text up to this length is parsed at once, without waiting for a turn. */
const shortBytes = 16_384;

/** Maximum length of a JSON body of a client that does not submit: it holds a Bundle of reads at most. */
const readerBodyBytes = 1024 * 1024;

/** Adds the parsers of JSON and of forms to `app`. */
export function addBodyParsers(app: FastifyInstance, budget: BodyBudget, limits: JsonLimits): void {
  app.addContentTypeParser(
    ['application/fhir+json', 'application/json', 'application/json-patch+json'],
    async (request: FastifyRequest, payload: IncomingMessage) => {
      const body = await readBody(request, payload, budget);
      const steps = parseJsonInSteps(body, limits);
      if (body.length <= shortBytes) return finishSteps(steps);
      return withTurnsOf(request.exchange.caller?.clientId ?? '', () => inTurns(steps));
    },
  );
  addFormParser(app, budget);
}

/** Adds the parser of forms to `app`. It gives the text. */
export function addFormParser(app: FastifyInstance, budget: BodyBudget): void {
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    async (request: FastifyRequest, payload: IncomingMessage) => (await readBody(request, payload, budget)).toString(),
  );
}

/** Resolves to the body. Rejects with a fault, and keeps nothing of a body that is refused. */
function readBody(request: FastifyRequest, payload: IncomingMessage, budget: BodyBudget): Promise<Buffer> {
  const { caller, clientAddress, response } = request.exchange;
  const ofRole = caller?.role === 'care-provider' ? readerBodyBytes : Number.POSITIVE_INFINITY;
  const limit = Math.min(request.routeOptions.bodyLimit, ofRole);
  const share = budget.open(caller?.clientId ?? clientAddress);
  response.once('close', share.close);
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    const refuse = (error: unknown): void => {
      payload.off('data', take);
      payload.off('end', end);
      chunks = [];
      share.close();
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      try {
        if (length > limit) throw tooLarge();
        share.add(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        refuse(error);
      }
    };
    const end = (): void => resolve(Buffer.concat(chunks, length));
    if (Number(request.headers['content-length']) > limit) {
      refuse(tooLarge());
      return;
    }
    payload.on('data', take).once('end', end).once('error', refuse);
  });
}

function tooLarge(): Error {
  return fault('too-large', 'The body is larger than this server accepts. Send it in smaller parts.');
}
