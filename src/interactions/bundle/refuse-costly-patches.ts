import { itemsOf, membersOf } from '../../fhir/any-json.ts';
import { fault } from '../../fhir/fault.ts';

/**
 * Maximum paths and operations of all FHIRPath Patches in one Bundle. Entries that end a thousand plans need two paths.
 */
const maxPaths = 100;
const maxOperations = 5_000;

/** Throws `too-large` for a Bundle whose FHIRPath Patches would take long. The entries have not been validated. */
export function refuseCostlyPatches(entries: readonly unknown[]): void {
  const paths = new Set<unknown>();
  let operations = 0;
  for (const entry of entries) {
    const resource = membersOf(membersOf(entry)['resource']);
    if (resource['resourceType'] !== 'Parameters') continue;
    for (const operation of itemsOf(resource['parameter'])) {
      operations += 1;
      for (const part of itemsOf(membersOf(operation)['part']).map(membersOf)) {
        if (part['name'] === 'path') paths.add(part['valueString']);
      }
    }
  }
  if (paths.size <= maxPaths && operations <= maxOperations) return;
  throw fault(
    'too-large',
    `The FHIRPath Patches of this Bundle exceed ${maxPaths} different paths or ${maxOperations} operations. Send several Bundles.`,
    { code: 'too-costly', expression: ['Bundle.entry'] },
  );
}
