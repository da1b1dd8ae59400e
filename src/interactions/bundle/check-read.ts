import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkHistory } from '../read/history.ts';
import { findReadable } from '../read/read.ts';
import { parseReadOptions } from '../read/read-options.ts';
import { findVersion } from '../read/vread.ts';
import type { View } from '../resource/view.ts';
import { checkSearch } from '../search/search-type.ts';

/**
 * Throws the fault that would refuse a read, vread, history or search on the resources in the view. A transaction calls
 * it before it commits, because one failing entry fails the whole. It discloses and records nothing.
 */
export async function checkRead(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<void> {
  switch (request.interaction) {
    case 'search-type':
      checkSearch(request, context, ports);
      break;
    case 'history-instance':
    case 'history-type':
    case 'history-system':
      await checkHistory(request, context, view, ports);
      break;
    case 'vread':
      parseReadOptions(request, context);
      await findVersion(request, context, view, ports);
      break;
    default:
      parseReadOptions(request, context);
      await findReadable(request, context, view, ports);
  }
}
