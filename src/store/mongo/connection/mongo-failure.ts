/** Classifies errors of the driver. https://www.mongodb.com/docs/manual/reference/error-codes/ */
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
 * `unsent`: nothing was written. `unknown`: it may have been written. `conflict`: another write came first, and the same
 * operation may be tried again. `rejected`: this operation alone is wrong.
 */
export type MongoFailure = 'unsent' | 'unknown' | 'conflict' | 'rejected';

const duplicateKey = 11_000;
const writeConflict = 112;
/** `NotWritablePrimary`, `InterruptedDueToReplStateChange` and the like. The driver labels most of them. */
const unavailableCodes: ReadonlySet<unknown> = new Set([
  6, 7, 50, 64, 75, 89, 91, 133, 134, 189, 262, 317, 358, 9001, 10_107, 11_600, 11_602, 13_435, 13_436,
]);
const socketCodes: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED']);

/** Returns whether the error is a violated unique index, `_id` included. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === duplicateKey;
}

/** Returns whether the error comes from the database or the connection to it. */
export function isDatabaseError(error: unknown): boolean {
  return error instanceof MongoError || isSocketError(error);
}

/** The driver (7.9.0) passes on what Node throws when it writes to a connection that the server has just closed. */
function isSocketError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && socketCodes.has(error.code);
}

/** Classifies any error that an operation of the driver throws. */
export function mongoFailure(error: unknown): MongoFailure {
  // The driver also throws this when it wants to repeat a write that it has sent.
  if (error instanceof MongoServerSelectionError) return 'unknown';
  if (error instanceof MongoNetworkError || isSocketError(error)) return 'unknown';
  if (error instanceof MongoBulkWriteError) {
    // A connection error in a bulk write arrives in this class too, without a code.
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
  // A document that is too large, or a value that cannot be stored.
  if (error instanceof MongoInvalidArgumentError) return 'rejected';
  // The connection pool is full, or the client is closed.
  return error instanceof MongoError ? 'unsent' : 'rejected';
}

/** Returns the fault that callers of the store get for a database error. Other errors are returned as they are. */
export function asFault(error: unknown): unknown {
  if (error instanceof FhirFault || !isDatabaseError(error)) return error;
  const failure = mongoFailure(error);
  if (failure !== 'rejected') return storeUnavailable(`mongo-${failure}`);
  const code = error instanceof MongoServerError ? String(error.code) : error instanceof Error ? error.name : '';
  return fault('exception', 'The store could not apply this.', { detail: `mongo-rejected-${code}` });
}

/** Rejects with a network error, whose outcome is unknown, if the operation takes longer than the limit. */
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

/** Runs an operation and turns database errors into faults. */
export async function withFaults<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw asFault(error);
  }
}
