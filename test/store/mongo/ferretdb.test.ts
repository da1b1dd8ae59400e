import t from 'tap';
import { storeContract } from '../../contract/store-contract.ts';
import { noFerretDb, openFerretDb } from '../../support/ferretdb-server.ts';
import { openTestStore } from './open-test-store.ts';

if (noFerretDb !== undefined) t.plan(0, noFerretDb);
else {
  t.setTimeout(240_000);
  const server = await openFerretDb(t);
  await storeContract(t, { name: 'FerretDB', open: (test) => openTestStore(test, server) });
}
