import { Histogram, type Registry } from 'prom-client';

/** Receives the measurements of a store. */
export interface StoreMetrics {
  /** How long a commit took, in seconds. */
  readonly onCommit: (seconds: number) => void;
  /** How many operations became durable together. */
  readonly onBatch: (operations: number) => void;
}

/** Registers the metrics of the store. */
export function registerStoreMetrics(register: Registry): StoreMetrics {
  const commitSeconds = new Histogram({
    name: 'cpis_store_commit_seconds',
    help: 'Time from handing a unit to the store until it is durable',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [register],
  });
  const batchOperations = new Histogram({
    name: 'cpis_store_batch_operations',
    help: 'Operations made durable together, by one fsync',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    registers: [register],
  });
  return {
    onCommit: (seconds) => commitSeconds.observe(seconds),
    onBatch: (operations) => batchOperations.observe(operations),
  };
}
