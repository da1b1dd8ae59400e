/**
 * The breaker of the demographics service: a pure function of its answers and of time. Unlike the breaker of an endpoint it
 * knows no events and waits for half a minute at most, because submissions are refused while it is open.
 */

export interface Circuit {
  /** Consecutive failures. */
  readonly failures: number;
  /** After enough failures nothing is sent before this time. */
  readonly retryAtMs: number;
  /** One request is in flight to find out whether the service has recovered. */
  readonly probing: boolean;
}

export const closedCircuit: Circuit = { failures: 0, retryAtMs: 0, probing: false };

const failuresToOpen = 3;
const firstWaitMs = 1_000;
const longestWaitMs = 30_000;

/** Whether requests wait for the service to recover. */
export function isOpen({ failures }: Circuit): boolean {
  return failures >= failuresToOpen;
}

/** Returns how long a request must wait: 0 if it may be sent now. */
export function waitMs(circuit: Circuit, atMs: number): number {
  if (!isOpen(circuit)) return 0;
  const restMs = Math.max(0, circuit.retryAtMs - atMs);
  return circuit.probing ? Math.max(restMs, firstWaitMs) : restMs;
}

/** Records that a request is sent. */
export function begin(circuit: Circuit): Circuit {
  return isOpen(circuit) ? { ...circuit, probing: true } : circuit;
}

/** Records a failure. `retryAfterMs` is the wait that the service asked for. */
export function fail({ failures }: Circuit, atMs: number, retryAfterMs = 0): Circuit {
  const next = failures + 1;
  const stepMs = Math.min(firstWaitMs * 2 ** Math.max(0, next - failuresToOpen), longestWaitMs);
  return { failures: next, retryAtMs: atMs + Math.min(Math.max(stepMs, retryAfterMs), longestWaitMs), probing: false };
}
