/**
 * Run by the store fault tests as a process of its own: commits AuditEvents with a delivery each until it is ended, and
 * prints the id of each one once it is acknowledged. Exits 3 when the store is lost.
 */
import { writeSync } from 'node:fs';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { audit, unit } from '../contract/fixtures.ts';

const [folder, prefix, limit] = process.argv.slice(2);
if (folder === undefined || prefix === undefined) throw new Error('usage: store-process.ts FOLDER PREFIX [LIMIT]');

const store = await openSqliteStore({
  folder,
  onFatal: () => {
    writeSync(1, 'lost\n');
    process.exitCode = 3;
  },
});
writeSync(1, 'open\n');

let count = 0;
const work = async (): Promise<void> => {
  while (store.ready && count < Number(limit ?? 100_000)) {
    count += 1;
    const id = `${prefix}-${count}`;
    try {
      await store.commit(unit({ audits: [audit(id, { recordedMs: count, deliverTo: ['E1'] })] }));
      writeSync(1, `${id}\n`);
    } catch {
      writeSync(1, 'refused\n');
    }
  }
};
await Promise.all(Array.from({ length: 8 }, work));
await store.close();
