import t from 'tap';
import { storeContract } from '../../contract/store-contract.ts';
import { openTestStore } from './open-test-store.ts';

await storeContract(t, { name: 'SQLite', open: (test) => openTestStore(test) });
