import { fault } from '../fhir/fault.ts';

export interface BodyBudgetOptions {
  /** Maximum bytes of all bodies that are being received or answered. */
  readonly totalBytes: number;
  /** Maximum of them that belong to one client. */
  readonly clientBytes: number;
}

/** Bounds the bytes of the request bodies that are in memory: from their arrival until their request is answered. */
export interface BodyBudget {
  /** Opens the share of one request. `client` is the client, or the address if there is none yet. */
  open(client: string): BodyShare;
}

interface BodyShare {
  /** Adds bytes that have arrived. Throws `throttled` if the client has too many, `transient` if all have. */
  add(bytes: number): void;
  /** Gives the bytes back. */
  close(): void;
}

export function buildBodyBudget({ totalBytes, clientBytes }: BodyBudgetOptions): BodyBudget {
  const heldBy = new Map<string, number>();
  let held = 0;
  return {
    open(client) {
      let own = 0;
      return {
        add(bytes) {
          const ofClient = (heldBy.get(client) ?? 0) + bytes;
          if (ofClient > clientBytes) {
            throw fault(
              'throttled',
              'This client has too many request bodies under way. Nothing was done: wait for their responses, and repeat the request after Retry-After.',
              { detail: 'body-budget' },
            );
          }
          if (held + bytes > totalBytes) {
            throw fault(
              'transient',
              'The server has too many request bodies under way. Nothing was done: repeat the request after Retry-After.',
              { detail: 'body-budget' },
            );
          }
          own += bytes;
          held += bytes;
          heldBy.set(client, ofClient);
        },
        close() {
          const left = (heldBy.get(client) ?? 0) - own;
          held -= own;
          own = 0;
          if (left > 0) heldBy.set(client, left);
          else heldBy.delete(client);
        },
      };
    },
  };
}
