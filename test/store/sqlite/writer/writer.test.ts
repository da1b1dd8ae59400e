import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { openWriter } from '../../../../src/store/sqlite/writer/writer.ts';
import { makeTempFolder } from '../../../support/temp-folder.ts';

const nextIteration = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('a batch that is not full waits for the previous one; a full batch is sent at once', async (t) => {
  const folder = makeTempFolder(t);
  const file = join(folder, 'store.sqlite');
  const batches: number[] = [];
  const onLost = (error: Error): void => void t.fail(error.message);
  const writer = await openWriter(
    { file, use: 'write' },
    { onLost, onBatch: (operations) => batches.push(operations) },
  );
  t.teardown(() => writer.close());
  const other = new DatabaseSync(file, { timeout: 5_000 });
  t.teardown(() => other.close());
  let key = 0;
  const submit = (count: number): Promise<unknown>[] =>
    Array.from({ length: count }, () => {
      key += 1;
      return writer.submit(['once', `key ${key}`, 1, 0]);
    });
  /** Submits operations in groups while another connection holds the lock, so that the first batch stays in flight. */
  const whileHeld = async (counts: readonly number[]): Promise<number[]> => {
    batches.length = 0;
    other.exec('BEGIN IMMEDIATE');
    const results: Promise<unknown>[] = [];
    for (const count of counts) {
      results.push(...submit(count));
      await nextIteration();
      await nextIteration();
    }
    other.exec('COMMIT');
    t.ok((await Promise.all(results)).every(Boolean), 'each is written');
    return [...batches];
  };
  t.strictSame(await whileHeld([1, 1, 5]), [1, 6], 'the six operations after the first are written together');
  t.strictSame(await whileHeld([1, 31, 1, 5]), [1, 32, 5], 'a full batch is sent, later operations wait');
});
