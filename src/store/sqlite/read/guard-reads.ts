/** Runs reads on the main thread and turns failures of SQLite into the faults of the port. */
import { FhirFault } from '../../../fhir/fault.ts';
import { storeUnavailable } from '../../store-unavailable.ts';
import { sqliteFailure } from '../connection/sqlite-failure.ts';
import type { Statements } from '../connection/statements.ts';

export type GuardedRead = <T>(query: () => T) => Promise<T>;

/** Returns a function that runs queries while the store is ready. It calls `lose` if a query shows that the store is lost. */
export function guardReads(statements: Statements, isReady: () => boolean, lose: (error: Error) => void): GuardedRead {
  return async (query) => {
    if (!isReady() || !statements.db.isOpen) throw storeUnavailable('store-closed');
    try {
      return query();
    } catch (error) {
      if (error instanceof FhirFault) throw error;
      const failure = sqliteFailure(error);
      if (failure === 'rejected') throw error;
      if (failure === 'lost') lose(new Error('The store was lost: reading failed.', { cause: error }));
      throw storeUnavailable(`sqlite-${failure}`);
    }
  };
}
