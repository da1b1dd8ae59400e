import { fault } from '../fhir/fault.ts';
import { plainAccess, recordAccess, recordRefusal } from './audit/record-access.ts';
import { batch } from './bundle/batch.ts';
import { refuseCostlyPatches } from './bundle/refuse-costly-patches.ts';
import { transaction } from './bundle/transaction.ts';
import { replayDeliveries } from './operations/replay-deliveries.ts';
import { subscriptionBinding } from './operations/subscription-binding.ts';
import { subscriptionEvents } from './operations/subscription-events.ts';
import { subscriptionStatus } from './operations/subscription-status.ts';
import { validate } from './operations/validate.ts';
import type { AccessContext, FhirAnswer, FhirRequest, Perform } from './port/interaction.ts';
import type { InteractionPorts } from './port/ports.ts';
import { history } from './read/history.ts';
import { read } from './read/read.ts';
import { vread } from './read/vread.ts';
import { searchType } from './search/search-type.ts';
import { refuseErrors } from './write/check-resource.ts';
import { commitWrite } from './write/commit-write.ts';

interface BatchOrTransaction {
  readonly type?: unknown;
  readonly entry?: readonly unknown[];
}

async function performBundle(
  request: FhirRequest,
  context: AccessContext,
  perform: Perform,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  refuseErrors(ports.validate(request.body, 'Bundle'));
  const { type, entry = [] } = request.body as BatchOrTransaction;
  if (entry.length > ports.maxBundleEntries) {
    throw fault('too-large', `A Bundle has at most ${ports.maxBundleEntries} entries here.`, {
      expression: ['Bundle.entry'],
    });
  }
  refuseCostlyPatches(entry);
  // Otherwise each entry is audited as a request of its own.
  if (entry.length === 0) await recordAccess(request, context, plainAccess, ports);
  return type === 'transaction' ? transaction(entry, context, perform, ports) : batch(entry, context, perform, ports);
}

/** The interactions behind one door: each request is performed and audited, and a refusal is audited before it is told. */
export function buildPerform(ports: InteractionPorts): Perform {
  async function dispatch(request: FhirRequest, context: AccessContext): Promise<FhirAnswer> {
    switch (request.interaction) {
      case 'read':
        return read(request, context, ports);
      case 'vread':
        return vread(request, context, ports);
      case 'history-instance':
      case 'history-type':
      case 'history-system':
        return history(request, context, ports);
      case 'search-type':
        return searchType(request, context, ports);
      case 'create':
      case 'update':
      case 'patch':
      case 'delete':
        return commitWrite(request, context, ports);
      case 'validate':
        return validate(request, context, ports);
      case 'status':
        return subscriptionStatus(request, context, ports);
      case 'events':
        return subscriptionEvents(request, context, ports);
      case 'get-ws-binding-token':
        return subscriptionBinding(request, context, ports);
      case 'replay-deliveries':
        return replayDeliveries(request, context, ports);
      case 'batch':
      case 'transaction':
        return performBundle(request, context, perform, ports);
      default:
        throw request.interaction satisfies never;
    }
  }

  async function perform(request: FhirRequest, context: AccessContext): Promise<FhirAnswer> {
    try {
      return await dispatch(request, context);
    } catch (error) {
      throw await recordRefusal(error, request, context, ports);
    }
  }

  return perform;
}
