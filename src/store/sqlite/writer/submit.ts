import type { WriteOp } from './write-op.ts';
import type { Writer } from './writer.ts';

/** Submits an operation whose result is whether it took effect. */
export async function submitFlag(writer: Writer, op: WriteOp): Promise<boolean> {
  const result = await writer.submit(op);
  if (typeof result !== 'boolean') throw unexpectedResult();
  return result;
}

/** Returns the error for a result that the operation cannot have. */
export function unexpectedResult(): Error {
  return new Error('The writer thread returned a result of the wrong kind.');
}
