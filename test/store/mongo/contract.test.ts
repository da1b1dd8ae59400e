import t from 'tap';
import { storeContract } from '../../contract/store-contract.ts';
import { openMongoServer } from '../../support/mongo-server.ts';
import { openTestStore } from './open-test-store.ts';

const server = await openMongoServer(t);
await storeContract(t, { name: 'MongoDB', open: (test) => openTestStore(test, server) });
