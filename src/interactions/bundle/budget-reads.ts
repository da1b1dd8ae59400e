import { fault } from '../../fhir/fault.ts';
import { recordRefusal } from '../audit/record-access.ts';
import type { Perform } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** Maximum total length of read responses in one Bundle, in characters. The response is held in memory as a whole. */
const maxReadLength = 8_000_000;

/**
 * Builds the performer of the reads of one Bundle. Once their responses are too long together, it refuses each further
 * read with 400 `too-costly`, and audits that.
 */
export function budgetReads(perform: Perform, ports: InteractionPorts): Perform {
  let length = 0;
  return async (request, context) => {
    if (length >= maxReadLength) {
      const refused = fault(
        'invalid',
        'The responses to the reads of this Bundle are too long together. Send this read in another Bundle.',
        {
          code: 'too-costly',
        },
      );
      throw await recordRefusal(refused, request, context, ports);
    }
    const answer = await perform(request, context);
    length += answer.body?.length ?? 0;
    return answer;
  };
}
