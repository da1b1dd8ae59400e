/**
 * Request metrics. Their labels are route templates, methods and status classes, and never the content of a request.
 */
import { Counter, collectDefaultMetrics, Histogram, type Registry } from 'prom-client';

/** Records one request: `route` is a template, `seconds` its duration. */
type ObserveRequest = (route: string, method: string, status: number, seconds: number) => void;

/** Registers the process metrics and the histogram of requests. */
export function registerRequestMetrics(registry: Registry): ObserveRequest {
  collectDefaultMetrics({ register: registry });
  const histogram = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the headers of a request to the end of its response.',
    labelNames: ['route', 'method', 'status'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  return (route, method, status, seconds) => {
    histogram.observe({ route, method, status: `${Math.floor(status / 100)}xx` }, seconds);
  };
}

/** Registers the counts of throttled requests, and returns the functions that add one. */
export function registerThrottleMetrics(registry: Registry): {
  readonly unauthenticated: () => void;
  readonly client: () => void;
} {
  const unauthenticated = new Counter({
    name: 'http_unauthenticated_throttled_total',
    help: 'Requests without a valid token or assertion that were answered 429 and not audited, because their address (IPv6: /64 network) sent too many.',
    registers: [registry],
  });
  const client = new Counter({
    name: 'http_client_throttled_total',
    help: 'Requests of authenticated clients that were answered 429 and not audited, because the client sent too many or had too many under way.',
    registers: [registry],
  });
  return { unauthenticated: () => unauthenticated.inc(), client: () => client.inc() };
}
