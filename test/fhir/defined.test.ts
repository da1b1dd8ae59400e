import t from 'tap';
import { defined } from '../../src/fhir/defined.ts';

t.test('keeps defined members in their order, including null, false and empty text', async (t) => {
  const members = defined({ a: 1, b: undefined, c: null, d: '', e: false });
  t.equal(JSON.stringify(Object.entries(members)), '[["a",1],["c",null],["d",""],["e",false]]');
  t.notOk('b' in members, 'an undefined member is absent, not undefined');
});
