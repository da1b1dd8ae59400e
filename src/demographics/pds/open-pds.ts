/**
 * The adapter for the Personal Demographics Service FHIR API, application-restricted access.
 * https://digital.nhs.uk/developer/api-catalogue/personal-demographics-service-fhir
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock/clock.ts';
import type { Store } from '../../store/store.ts';
import { compareTrace } from '../compare-person.ts';
import type { Demographics, Trace } from '../demographics.ts';
import { begin, type Circuit, closedCircuit, fail, isOpen, waitMs } from './circuit.ts';
import { openPdsHttp, type PdsHttpOptions } from './pds-http.ts';
import { openPdsToken, type PdsApplication } from './pds-token.ts';
import { type PdsFailure, readAnswer } from './read-answer.ts';
import { openSharedRate } from './shared-rate.ts';
import { openTraceCache } from './trace-cache.ts';

export interface PdsOptions extends PdsApplication, Omit<PdsHttpOptions, 'now'> {
  /** FHIR base, without a slash at the end. */
  readonly baseUrl: string;
  /** ODS code of the organisation on whose behalf PDS is asked, if this server serves several. */
  readonly odsCode: string | undefined;
  /** Maximum requests a second of all servers together. */
  readonly ratePerSecond: number;
  /** Maximum time of a trace, with its repeats and its wait for the rate limit. */
  readonly timeoutMs: number;
  readonly cacheAgeMs: number;
  readonly store: Pick<Store, 'useOnce'>;
  readonly clock: Clock;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /** Called after each request: `answered` or the class of the failure, never a value. */
  readonly onRequest: (outcome: string, elapsedMs: number) => void;
  /** Called when the breaker opens or closes. */
  readonly onAvailability: (isAvailable: boolean, reason: string) => void;
}

export interface Pds extends Demographics {
  trace(number: string): Promise<Trace>;
  /** Cuts the requests in flight. */
  close(): Promise<void>;
}

const maxCached = 10_000;
const maxAttempts = 4;
const firstBackOffMs = 250;

/** Opens the adapter. Nothing is sent before the first trace. */
export function openPds(options: PdsOptions): Pds {
  const { baseUrl, odsCode, ratePerSecond, timeoutMs, cacheAgeMs, store, clock, random } = options;
  const http = openPdsHttp({ ...options, now: clock.now });
  const token = openPdsToken(options, http, clock);
  const rate = openSharedRate(ratePerSecond, store, clock);
  const cache = openTraceCache<Trace>({ maxEntries: maxCached, maxAgeMs: cacheAgeMs }, clock.elapsed);
  const inFlight = new Map<string, Promise<Trace>>();
  let circuit: Circuit = closedCircuit;

  function note(next: Circuit, reason: string): void {
    const wasOpen = isOpen(circuit);
    circuit = next;
    if (wasOpen !== isOpen(next)) options.onAvailability(wasOpen, reason);
  }

  async function request(number: string, requestId: string, endMs: number): Promise<Answer> {
    const restMs = (): number => Math.max(1, endMs - clock.elapsed());
    const bearer = await token.get(restMs());
    if (typeof bearer !== 'string') return { result: bearer, retryAfterMs: 0 };
    const answer = await http.send({
      method: 'GET',
      url: `${baseUrl}/Patient/${number}`,
      headers: {
        accept: 'application/fhir+json',
        authorization: `Bearer ${bearer}`,
        'x-request-id': requestId,
        ...(odsCode === undefined ? {} : { 'nhsd-end-user-organisation-ods': odsCode }),
      },
      timeoutMs: restMs(),
    });
    if (answer.kind === 'failed') return { result: { ...answer, mayPass: true }, retryAfterMs: 0 };
    const { status, body, retryAfterMs = 0 } = answer;
    if (status === 401) token.forget();
    return { result: readAnswer(number, status, body), retryAfterMs };
  }

  async function ask(number: string): Promise<Trace> {
    // PDS recognises a repeat by the same id.
    const requestId = randomUUID();
    const endMs = clock.elapsed() + timeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      if (waitMs(circuit, clock.elapsed()) === 0 && !(await rate.take(endMs - clock.elapsed()))) {
        return unavailable(timeoutMs);
      }
      const closedForMs = waitMs(circuit, clock.elapsed());
      if (closedForMs > 0) return unavailable(closedForMs);
      const startMs = clock.elapsed();
      circuit = begin(circuit);
      const { result, retryAfterMs } = await request(number, requestId, endMs);
      options.onRequest(result.kind === 'failed' ? result.reason : 'answered', clock.elapsed() - startMs);
      if (result.kind !== 'failed') {
        note(closedCircuit, '');
        cache.set(number, result);
        return result;
      }
      // Else one odd record, submitted again and again, would stop all submissions.
      note(result.isOfRecord === true ? closedCircuit : fail(circuit, clock.elapsed(), retryAfterMs), result.reason);
      const backOffMs = Math.max(retryAfterMs, firstBackOffMs * 2 ** (attempt - 1) * (0.5 + random()));
      const mayRepeat = result.mayPass || (result.reason === 'status-401' && attempt === 1);
      if (!mayRepeat || attempt === maxAttempts || clock.elapsed() + backOffMs >= endMs) return unavailable(backOffMs);
      await new Promise<void>((resolve) => void clock.after(backOffMs, resolve));
    }
  }

  async function trace(number: string): Promise<Trace> {
    const known = cache.get(number);
    if (known !== undefined) return known;
    const pending = inFlight.get(number);
    if (pending !== undefined) return pending;
    // The store may refuse the slot: that is no answer of the service either.
    const asked = ask(number)
      .catch(() => unavailable(timeoutMs))
      .finally(() => inFlight.delete(number));
    inFlight.set(number, asked);
    return asked;
  }

  return {
    isPresent: true,
    trace,
    match: async (stated) => compareTrace(stated, await trace(stated.number)),
    close: http.close,
  };
}

interface Answer {
  readonly result: Exclude<Trace, { kind: 'unavailable' }> | PdsFailure;
  readonly retryAfterMs: number;
}

function unavailable(waitMs: number): Trace {
  return { kind: 'unavailable', retryAfterS: Math.min(60, Math.max(1, Math.ceil(waitMs / 1_000))) };
}
