/** Checks an extract without a server. */
import { warnOfPlan } from '../../cpis/check-plan.ts';
import { londonDate } from '../../cpis/london-date.ts';
import type { Plan } from '../../cpis/plan.ts';
import { findOverlap, isExclusive } from '../../cpis/plan-overlap.ts';
import { referenceSystemsOf } from '../../cpis/reference-systems.ts';
import { openRegistry } from '../../registry/open-registry.ts';
import { RegistryError } from '../../registry/parse-registry.ts';
import { type CommandIo, UsageError } from '../terminal/command-line.ts';
import { nameColumns } from './name-columns.ts';
import type { Extract } from './open-extract.ts';
import { planOf } from './read-plan.ts';
import { readCandidates } from './run-submission.ts';

/**
 * Prints every record that the server would refuse, and the warnings about others. Returns the exit code, 1 if one would be
 * refused.
 */
export async function checkExtract(file: string, extract: Extract, stdout: CommandIo['stdout']): Promise<number> {
  let unfit = 0;
  let doubtful = 0;
  const report = (record: number, problem: string): void => {
    unfit += 1;
    stdout.write(`record ${record}: ${problem}\n`);
  };
  const plans = new Map<string, Plan[]>();
  const today = londonDate(Date.now());
  for await (const { place, plan: extracted } of readCandidates(file, extract)) {
    if ('reason' in extracted) {
      report(place.record, extracted.reason);
      continue;
    }
    const plan = planOf(extracted, String(place.record));
    const earlier = plans.get(plan.patientId) ?? [];
    plans.set(plan.patientId, [...earlier, plan]);
    const other = isExclusive(plan) ? findOverlap(plan, undefined, earlier) : undefined;
    if (other !== undefined) {
      report(
        place.record,
        `the child has another plan of this plan_type for an overlapping period, in record ${other.id}`,
      );
      continue;
    }
    const warnings = warnOfPlan(plan, undefined, earlier, today).map((issue) => nameColumns(issue, 'Flag'));
    if (warnings.length === 0) continue;
    doubtful += 1;
    stdout.write(`record ${place.record}: warning: ${warnings.join('; ')}\n`);
  }
  const warned = doubtful === 0 ? '' : `, ${doubtful} with warnings`;
  stdout.write(`${extract.records} records, ${unfit} with problems${warned}. Nothing was sent.\n`);
  return unfit > 0 ? 1 : 0;
}

/** Throws UsageError unless the registry file lets the authority of the client use references of this system. */
export function checkReferenceSystem(registryFile: string, clientId: string, referenceSystem: string): void {
  const { organisation, authorities } = findOrganisation(registryFile, clientId);
  const listed = referenceSystemsOf(organisation, authorities, londonDate(Date.now()));
  if (listed === undefined || listed.includes(referenceSystem)) return;
  throw new UsageError(
    `The registry does not list this --reference-system for the authority of ${clientId}. It lists: ${listed.join(', ')}`,
  );
}

function findOrganisation(registryFile: string, clientId: string) {
  try {
    const { clients, authorities } = openRegistry(registryFile, { nowMs: Date.now, allowLoopback: true }).current;
    const client = clients.get(clientId);
    if (client !== undefined) return { organisation: client.organisation, authorities };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new UsageError(`--registry: ${error.problems.join('; ')}.`);
  }
  throw new UsageError(`--registry: no client has the id ${clientId}.`);
}
