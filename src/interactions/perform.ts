import type { Caller } from '../cpis/caller.ts';
import type { InteractionCode } from '../cpis/interaction-table.ts';
import { patientTypeFor } from '../cpis/statement.ts';
import { fault } from '../fhir/fault.ts';
import { plainAccess, recordAccess, recordRefusal } from './audit/record-access.ts';
import { batch } from './bundle/batch.ts';
import { refuseCostlyPatches } from './bundle/refuse-costly-patches.ts';
import { transaction } from './bundle/transaction.ts';
import { demographicConflicts, resolveDemographics } from './operations/demographic-conflicts.ts';
import { replayDeliveries } from './operations/replay-deliveries.ts';
import { subscriptionBinding } from './operations/subscription-binding.ts';
import { subscriptionEvents } from './operations/subscription-events.ts';
import { subscriptionStatus } from './operations/subscription-status.ts';
import { transfer } from './operations/transfer.ts';
import { validate } from './operations/validate.ts';
import type { AccessContext, FhirAnswer, FhirRequest, Perform } from './port/interaction.ts';
import type { InteractionPorts } from './port/ports.ts';
import { history } from './read/history.ts';
import { read } from './read/read.ts';
import { vread } from './read/vread.ts';
import { callerStore } from './resource/caller-store.ts';
import { searchType } from './search/search-type.ts';
import { refuseErrors } from './write/check-resource.ts';
import { commitWrite } from './write/commit-write.ts';
import { inTurns } from './yielding/in-turns.ts';

interface BatchOrTransaction {
  readonly type?: unknown;
  readonly entry?: readonly unknown[];
}

type Interaction = (request: FhirRequest, context: AccessContext, ports: InteractionPorts) => Promise<FhirAnswer>;

async function performEntries(
  request: FhirRequest,
  context: AccessContext,
  perform: Perform,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  await inTurns(ports.prepareValidation());
  refuseErrors(await inTurns(ports.validateBundle(request.body)));
  const { type, entry = [] } = request.body as BatchOrTransaction;
  if (entry.length > ports.maxBundleEntries) {
    throw fault('too-large', `The Bundle has more than ${ports.maxBundleEntries} entries. Send several Bundles.`, {
      expression: ['Bundle.entry'],
    });
  }
  refuseCostlyPatches(entry);
  // A Bundle without entries is audited itself. Otherwise each entry is audited as a request of its own.
  if (entry.length === 0) await recordAccess(request, context, plainAccess, ports);
  return type === 'transaction' ? transaction(entry, context, perform, ports) : batch(entry, context, perform, ports);
}

/** Returns a function that gives each caller the ports with the store as it may see it. */
function buildCallerPorts(ports: InteractionPorts): (caller: Caller) => InteractionPorts {
  const known = new Map<string, InteractionPorts>();
  return (caller) => {
    const type = patientTypeFor(caller);
    const own = known.get(type) ?? { ...ports, store: callerStore(ports.store, caller) };
    known.set(type, own);
    return own;
  };
}

/** Builds the one way into the interactions: performs each request, and audits each refusal before it is answered. */
export function buildPerform(ports: InteractionPorts): Perform {
  const performBundle: Interaction = (request, context, own) => performEntries(request, context, perform, own);
  const portsOf = buildCallerPorts(ports);
  const performers: Readonly<Record<InteractionCode, Interaction>> = {
    read,
    vread,
    'history-instance': history,
    'history-type': history,
    'history-system': history,
    'search-type': searchType,
    create: commitWrite,
    update: commitWrite,
    patch: commitWrite,
    delete: commitWrite,
    batch: performBundle,
    transaction: performBundle,
    validate,
    status: subscriptionStatus,
    events: subscriptionEvents,
    'get-ws-binding-token': subscriptionBinding,
    'replay-deliveries': replayDeliveries,
    transfer,
    'demographic-conflicts': demographicConflicts,
    'resolve-demographics': resolveDemographics,
  };

  async function perform(request: FhirRequest, context: AccessContext): Promise<FhirAnswer> {
    try {
      return await performers[request.interaction](request, context, portsOf(context.caller));
    } catch (error) {
      throw await recordRefusal(error, request, context, ports);
    }
  }

  return perform;
}
