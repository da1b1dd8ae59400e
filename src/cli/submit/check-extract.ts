/** Checks an extract without a server. */
import { lastDayOf } from '../../cpis/life-cycle.ts';
import type { Plan } from '../../cpis/plan.ts';
import { findOverlap, isExclusive } from '../../cpis/plan-overlap.ts';
import { referenceSystemsOf } from '../../cpis/reference-systems.ts';
import { openRegistry } from '../../registry/open-registry.ts';
import { RegistryError } from '../../registry/parse-registry.ts';
import { type CommandIo, UsageError } from '../terminal/command-line.ts';
import type { Extract } from './open-extract.ts';
import type { ExtractedPlan } from './read-plan.ts';
import { readCandidates } from './run-submission.ts';

function planOf({ nhsNumber, kind, start, end, dueDate, birthDate, withdrawn }: ExtractedPlan, record: number): Plan {
  const lastDay = lastDayOf({ kind, start, dueDate }, birthDate);
  const status = withdrawn ? 'entered-in-error' : end === undefined ? 'active' : 'inactive';
  return { id: String(record), patientId: nhsNumber, authorityId: '', kind, status, start, end, dueDate, lastDay };
}

/** Prints every record that the server would refuse. Returns the exit code, 1 if there is one. */
export async function checkExtract(file: string, extract: Extract, stdout: CommandIo['stdout']): Promise<number> {
  let unfit = 0;
  const report = (record: number, problem: string): void => {
    unfit += 1;
    stdout.write(`record ${record}: ${problem}\n`);
  };
  const plans = new Map<string, Plan[]>();
  for await (const { place, plan: extracted } of readCandidates(file, extract)) {
    if ('reason' in extracted) {
      report(place.record, extracted.reason);
      continue;
    }
    const plan = planOf(extracted, place.record);
    if (!isExclusive(plan)) continue;
    const earlier = plans.get(plan.patientId) ?? [];
    const other = findOverlap(plan, undefined, earlier);
    plans.set(plan.patientId, [...earlier, plan]);
    if (other === undefined) continue;
    report(
      place.record,
      `the child has another plan of this plan_type for an overlapping period, in record ${other.id}`,
    );
  }
  stdout.write(`${extract.records} records, ${unfit} with problems. Nothing was sent.\n`);
  return unfit > 0 ? 1 : 0;
}

/** Throws UsageError unless the registry file lets the authority of the client use references of this system. */
export function checkReferenceSystem(registryFile: string, clientId: string, referenceSystem: string): void {
  const listed = referenceSystemsOf(findOrganisation(registryFile, clientId));
  if (listed === undefined || listed.includes(referenceSystem)) return;
  throw new UsageError(
    `The registry does not list this --reference-system for the authority of ${clientId}. It lists: ${listed.join(', ')}`,
  );
}

function findOrganisation(registryFile: string, clientId: string) {
  try {
    const client = openRegistry(registryFile, { nowMs: Date.now, allowLoopback: true }).current.clients.get(clientId);
    if (client !== undefined) return client.organisation;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new UsageError(`--registry: ${error.problems.join('; ')}.`);
  }
  throw new UsageError(`--registry: no client has the id ${clientId}.`);
}
