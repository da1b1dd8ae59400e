/** What an error of the driver means for the store. https://www.mongodb.com/docs/manual/reference/error-codes/ */
import {
  MongoBulkWriteError,
  MongoError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoNetworkTimeoutError,
  MongoServerError,
  MongoServerSelectionError,
} from 'mongodb';
import { FhirFault, fault } from '../../../fhir/fault.ts';
import { storeUnavailable } from '../../store-unavailable.ts';

/**
 * `unsent`: nothing was written. `unknown`: it may have been. `conflict`: another write was first; the same may be tried
 * anew. `rejected`: this operation alone is wrong.
 */
export type MongoFailure = 'unsent' | 'unknown' | 'conflict' | 'rejected';

const duplicateKey = 11_000;
const writeConflict = 112;
/** Of `NotWritablePrimary`, `InterruptedDueToReplStateChange` and their like: the driver marks them as well. */
const unavailableCodes: ReadonlySet<unknown> = new Set([
  6, 7, 50, 64, 75, 89, 91, 133, 134, 189, 262, 317, 358, 9001, 10_107, 11_600, 11_602, 13_435, 13_436,
]);

export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === duplicateKey;
}

/** Classifies any error that an operation of the driver throws. */
export function mongoFailure(error: unknown): MongoFailure {
  if (error instanceof MongoServerSelectionError) return 'unsent';
  if (error instanceof MongoNetworkError) return 'unknown';
  if (error instanceof MongoBulkWriteError) {
    // An error of the connection arrives as one of these as well, with nothing that tells what it was.
    const isOfConnection = error.code === undefined && [error.writeErrors].flat().length === 0;
    if (isOfConnection || error.result.getWriteConcernError() !== undefined) return 'unknown';
  }
  if (error instanceof MongoServerError) {
    if (error.code === duplicateKey || error.code === writeConflict) return 'conflict';
    if (error.hasErrorLabel('TransientTransactionError')) return 'conflict';
    if (error.hasErrorLabel('RetryableWriteError') || unavailableCodes.has(error.code)) return 'unknown';
    if (error.name === 'MongoWriteConcernError') return 'unknown';
    return 'rejected';
  }
  // A document that is too large, a value that cannot be stored.
  if (error instanceof MongoInvalidArgumentError) return 'rejected';
  // The pool is full, the client is closed.
  return error instanceof MongoError ? 'unsent' : 'rejected';
}

/** The fault that a caller of the store gets for an error of the driver; faults stay as they are. */
export function asFault(error: unknown): unknown {
  if (error instanceof FhirFault || !(error instanceof MongoError)) return error;
  const failure = mongoFailure(error);
  if (failure !== 'rejected') return storeUnavailable(`mongo-${failure}`);
  return fault('exception', 'The store could not apply this.', {
    detail: `mongo-rejected-${error instanceof MongoServerError ? String(error.code) : error.name}`,
  });
}

/** What hangs is given up: its outcome is unknown. */
export async function withinLimit<T>(operation: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MongoNetworkTimeoutError('no answer within the limit')), limitMs);
  });
  try {
    return await Promise.race([operation, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs an operation; what the driver throws becomes a fault. */
export async function withFaults<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw asFault(error);
  }
}
