/**
 * The XHTML of a Narrative: well-formed, with only the elements and attributes that R4 allows (txt-1), and not empty
 * (txt-2). https://hl7.org/fhir/R4/narrative.html#xhtml
 */
const elements = new Set(
  'a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var'.split(
    ' ',
  ),
);
const attributes = new Set(
  'abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width xml:lang xmlns'.split(
    ' ',
  ),
);
const namespace = 'http://www.w3.org/1999/xhtml';
const maxDepth = 100;
/** A narrative is text for people. Each tag of it costs time. */
const maxLength = 256 * 1024;

const tag = /<(\/?)([a-z][a-z0-9]*)((?:\s+[A-Za-z:]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
const text = /[^<&]+|&(?:[A-Za-z][A-Za-z0-9]*|#[0-9]+|#x[0-9a-fA-F]+);/y;
const comment = /<!--[^-]*(?:-[^-]+)*-->/y;
const attribute = /([A-Za-z:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

/** URLs that run a program, or embed a page. */
const unsafe = /^\s*(?:javascript|vbscript|data:text)/i;

function hasAllowedAttributes(name: string, written: string): boolean {
  const seen = new Set<string>();
  for (const [, attributeName = '', double, single] of written.matchAll(attribute)) {
    const value = double ?? single ?? '';
    if (!attributes.has(attributeName) || seen.has(attributeName) || unsafe.test(value)) return false;
    if (attributeName === 'xmlns' && value !== namespace) return false;
    if (name === 'img' && attributeName === 'src' && !/^(?:#|data:image\/|cid:)/.test(value)) return false;
    seen.add(attributeName);
  }
  return true;
}

/** Returns whether a text is a valid `div` of a Narrative. */
export function isNarrative(value: string): boolean {
  if (value.length > maxLength) return false;
  const open: string[] = [];
  let at = 0;
  let hasContent = false;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(value);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  while (at < value.length) {
    const run = take(text);
    if (run !== null) {
      if (open.length === 0) return false;
      hasContent ||= /\S/.test(run[0]);
      continue;
    }
    if (open.length > 0 && take(comment) !== null) continue;
    const found = take(tag);
    if (found === null) return false;
    const [, closing, name = '', written = '', isEmpty] = found;
    if (closing === '/') {
      if (written !== '' || isEmpty === '/' || open.pop() !== name) return false;
      if (open.length === 0) break;
      continue;
    }
    const isRoot = open.length === 0;
    if (isRoot && (name !== 'div' || !/\sxmlns\s*=/.test(written))) return false;
    if (!elements.has(name) || !hasAllowedAttributes(name, written) || open.length === maxDepth) return false;
    hasContent ||= name === 'img';
    if (isEmpty !== '/') open.push(name);
    else if (isRoot) break;
  }
  return at === value.length && open.length === 0 && hasContent;
}
