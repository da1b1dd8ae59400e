import t from 'tap';
import { storeContract } from '../../contract/store-contract.ts';
import { noMongoServer, openMongoServer } from '../../support/mongo-server.ts';
import { openTestStore } from './open-test-store.ts';

if (noMongoServer !== undefined) t.plan(0, noMongoServer);
else {
  t.setTimeout(240_000);
  const server = await openMongoServer(t);
  await storeContract(t, { name: 'MongoDB', open: (test) => openTestStore(test, server) });
}
