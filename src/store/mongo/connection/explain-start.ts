/** Says in words what a start on MongoDB failed of. https://www.mongodb.com/docs/manual/reference/error-codes/ */
import { MongoServerError, MongoServerSelectionError } from 'mongodb';
import { StoreStartError } from '../../store-start-error.ts';
import { isDatabaseError, mongoFailure } from './mongo-failure.ts';

const notAuthorised = 13;
/** `AuthenticationFailed`, and the code of MongoDB Atlas for it. */
const authenticationCodes: ReadonlySet<unknown> = new Set([18, 8_000]);

/** Returns the StoreStartError for an error at the start. An error that does not come from the database is returned as it is. */
export function explainStart(error: unknown, timeoutMs: number, usesTls = false): unknown {
  if (error instanceof StoreStartError) return error;
  if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES')) {
    return new StoreStartError(
      'A file that CPIS_MONGODB_URL names (tlsCAFile, tlsCertificateKeyFile) does not exist or cannot be read.',
      {
        cause: error,
      },
    );
  }
  if (error instanceof MongoServerError && error.code === notAuthorised) {
    return new StoreStartError(
      'The user of CPIS_MONGODB_URL lacks rights. Grant it the role readWrite on the database.',
      { cause: error },
    );
  }
  const cause = error instanceof MongoServerSelectionError ? (error.cause ?? error) : error;
  const errors = errorsOf(error);
  const text = errors.flatMap(({ name, message }) => [name, message]).join(' ');
  if (errors.some(isAuthentication)) {
    return new StoreStartError('MongoDB refuses the user name and password (or certificate) of CPIS_MONGODB_URL.', {
      cause,
    });
  }
  if (/\b(tls|ssl|certificate|self-signed|EPROTO|wrong version number)\b/i.test(text)) {
    return new StoreStartError(
      'TLS with MongoDB failed. Check tls, tlsCAFile and tlsCertificateKeyFile in CPIS_MONGODB_URL, and the names in the certificate of the server.',
      { cause },
    );
  }
  if (!isDatabaseError(error)) return error;
  if (usesTls && /ECONNRESET|connection .*closed/i.test(text)) {
    return new StoreStartError(
      'MongoDB closes the connection before TLS is negotiated. Check tls in CPIS_MONGODB_URL, and whether the server takes TLS on this port. With --wait, cpis serve tries again.',
      { cause, mayPass: true },
    );
  }
  if (error instanceof MongoServerError && mongoFailure(error) === 'rejected') {
    return new StoreStartError(`MongoDB rejected a command of the store (MongoDB error ${String(error.code)}).`, {
      cause,
    });
  }
  return new StoreStartError(
    `MongoDB cannot be reached within ${timeoutMs} ms (CPIS_MONGODB_URL). Check that it runs and that the replica set has a primary. With --wait, cpis serve waits for it.`,
    { cause, mayPass: true },
  );
}

/** By codes, because the text of any other error may hold the name of a host. */
function isAuthentication(error: Error): boolean {
  if (error.name === 'MongoMissingCredentialsError') return true;
  return error instanceof MongoServerError && authenticationCodes.has(error.code);
}

/** Returns the error and its causes, those of each server included. */
function errorsOf(error: unknown): Error[] {
  const errors: Error[] = [];
  const add = (from: unknown, depth: number): void => {
    if (!(from instanceof Error) || depth > 4) return;
    errors.push(from);
    add(from.cause, depth + 1);
    if ('reason' in from && typeof from.reason === 'object' && from.reason !== null && 'servers' in from.reason) {
      const { servers } = from.reason;
      if (servers instanceof Map) for (const server of servers.values()) add(server?.error, depth + 1);
    }
  };
  add(error, 0);
  return errors;
}
