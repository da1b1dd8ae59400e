/** What `prepare` leaves to the first request. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadDefinitions } from '../../../src/fhir/definitions/load-definitions.ts';
import { finishSteps } from '../../../src/fhir/steps.ts';
import { loadValidator } from '../../../src/fhir/validation/load-validator.ts';

const profilesFolder = fileURLToPath(new URL('../../../profiles', import.meta.url));

t.test('after it, no resource that may be contained needs a compilation', async (t) => {
  let compilations = 0;
  const makeFunction = globalThis.Function;
  t.teardown(() => {
    globalThis.Function = makeFunction;
  });
  // The schemas are compiled to functions.
  globalThis.Function = new Proxy(makeFunction, {
    construct(target, args) {
      compilations += 1;
      return Reflect.construct(target, args);
    },
  });
  const { validator } = loadValidator(profilesFolder);
  finishSteps(validator.prepare('https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-patient'));
  t.ok(compilations > 0);
  const types = [...loadDefinitions().types].filter(([, { kind }]) => kind === 'resource').map(([type]) => type);
  t.ok(types.includes('Parameters'));
  const before = compilations;
  for (const resourceType of types) {
    const contained = [{ resourceType, id: 'a' }];
    validator.validate({ resourceType: 'Patient', contained }, 'Patient');
  }
  t.equal(compilations, before);
});
