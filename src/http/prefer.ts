/** Parses the Prefer header (RFC 7240), as far as FHIR uses it. https://hl7.org/fhir/R4/http.html#ops */
import type { AccessContext } from '../interactions/port/interaction.ts';

type Preferences = Pick<AccessContext, 'handling' | 'preferReturn'>;

const none: Preferences = { handling: undefined, preferReturn: undefined };

/** Parses preferences. The first of each name counts; unknown ones are ignored, as RFC 7240 requires. */
export function parsePrefer(text: string | undefined): Preferences {
  if (text === undefined) return none;
  let handling: Preferences['handling'];
  let preferReturn: Preferences['preferReturn'];
  for (const part of text.split(/[,;]/)) {
    const [name = '', value = ''] = part.split('=').map((side) => side.trim().replaceAll('"', ''));
    if (name.toLowerCase() === 'handling' && (value === 'strict' || value === 'lenient')) handling ??= value;
    if (
      name.toLowerCase() === 'return' &&
      (value === 'minimal' || value === 'representation' || value === 'OperationOutcome')
    ) {
      preferReturn ??= value;
    }
  }
  return { handling, preferReturn };
}
