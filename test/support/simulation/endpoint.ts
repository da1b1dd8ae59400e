import type { SendResult } from '../../../src/notification/outbound-http/sender.ts';
import { type EndpointTrouble, minuteMs, type PlannedEvent, secondMs } from './plan.ts';
import type { Random } from './random.ts';

/** The response of an endpoint to one request. */
export interface Answer {
  /** Whether the endpoint accepted the event. */
  readonly takes: boolean;
  readonly afterMs: number;
  readonly result: SendResult;
}

const deadlineMs = 30 * secondMs;
const acknowledged: SendResult = { kind: 'acknowledged', status: 200 };
const failed = (reason: string, endpointAlive = false): SendResult => ({ kind: 'failed', reason, endpointAlive });

/** Returns the response, given the endpoint's `troubles`. A poisoned event is never accepted before `cured`. */
export function answerOf(
  troubles: readonly EndpointTrouble[],
  poison: PlannedEvent['poison'],
  atMs: number,
  random: Random,
  cured: boolean,
): Answer {
  const soonMs = random.between(1, 200);
  const trouble = troubles.find(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs);
  if (trouble !== undefined) {
    const answer = answerInTrouble(trouble, soonMs, random);
    if (answer !== undefined) return answer;
  }
  if (poison !== undefined && !cured) {
    if (poison === 'hangs') return { takes: false, afterMs: deadlineMs, result: failed('timeout') };
    const result = poison === 'refuses' ? failed('status-422', true) : failed('status-500');
    return { takes: false, afterMs: soonMs, result };
  }
  return { takes: true, afterMs: soonMs, result: acknowledged };
}

function answerInTrouble(
  { kind, status, retryAfterMs }: EndpointTrouble,
  soonMs: number,
  random: Random,
): Answer | undefined {
  switch (kind) {
    case 'refuses-connections':
      return { takes: false, afterMs: soonMs, result: failed('connection') };
    case 'times-out':
      return { takes: random.chance(0.3), afterMs: deadlineMs, result: failed('timeout') };
    case 'status': {
      const asked = retryAfterMs === undefined ? {} : { retryAfterMs };
      return {
        takes: false,
        afterMs: soonMs,
        result: { kind: 'failed', reason: `status-${status}`, endpointAlive: false, ...asked },
      };
    }
    case 'slow':
      return { takes: true, afterMs: random.between(secondMs, deadlineMs - 1), result: acknowledged };
    case 'flaps':
      return random.chance(0.5) ? { takes: false, afterMs: soonMs, result: failed('status-503') } : undefined;
    case 'loses-answers':
      return random.chance(0.5) ? { takes: true, afterMs: soonMs, result: failed('connection') } : undefined;
    case 'refuses-events':
      return { takes: false, afterMs: soonMs, result: failed('status-422', true) };
    default:
      throw kind satisfies never;
  }
}

/** How long after the last trouble an endpoint that works must have received everything. */
export const promisedMs = 22 * minuteMs;
