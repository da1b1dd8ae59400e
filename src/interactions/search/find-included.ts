import { authorise, bearsLabelFor, narrow } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { ownerOf } from '../../cpis/labels.ts';
import { fault } from '../../fhir/fault.ts';
import { parseReference } from '../../fhir/references.ts';
import type { Include, SearchQuery } from '../../fhir/search/ast.ts';
import type { StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { patientsOf, showEvent } from '../resource/present-resource.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { mapInTurns, nextTurn } from '../yielding/in-turns.ts';

/** Maximum included resources of one page. */
const maxIncluded = 2000;
/** Maximum resources that are read before yielding to other requests. */
const readAtOnce = 100;

type Key = `${string}/${string}`;
const keyOf = ({ type, id }: { readonly type: string; readonly id: string }): Key => `${type}/${id}`;

/**
 * Finds the resources to include with the matches, each once, within the ones that the caller may see. NHS staff always
 * get the organisations that own the Flags, because these have the telephones. Otherwise `_include` and `_revinclude`
 * decide, and `:iterate` applies to included resources as well. Throws `forbidden` if the token's scopes do not let the
 * caller read them, `too-costly` if there are too many.
 */
export async function findIncluded(
  query: SearchQuery,
  matches: readonly StoredResource[],
  caller: Caller,
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  if (query.summary === 'count') return [];
  const alone = query.include.length === 0 && query.revinclude.length === 0;
  if (alone) return caller.role === 'care-provider' && query.type === 'Flag' ? readOwners(matches, ports) : [];
  const always: Include[] =
    caller.role === 'care-provider' && query.type === 'Flag'
      ? [{ source: 'Flag', param: 'author', iterate: false }]
      : [];
  const forward = [...always, ...query.include];
  for (const include of query.include) for (const type of targetsOf(include)) authorise(caller, type, 'read');
  for (const { source } of query.revinclude) authorise(caller, source, 'search-type');
  const known = new Set(matches.map(keyOf));
  const included: StoredResource[] = [];
  let sources = matches;
  for (let round = 0; sources.length > 0; round++) {
    const applies = ({ iterate }: Include): boolean => round === 0 || iterate;
    const found = [
      ...(await readReferred(forward.filter(applies), sources, known, caller, ports)),
      ...(await findReferring(query.revinclude.filter(applies), sources, known, caller, ports)),
    ];
    included.push(...found);
    if (included.length > maxIncluded) throw tooManyIncluded();
    sources = found;
  }
  return included;
}

/** Returns the organisations that own the Flags, each once. */
function readOwners(flags: readonly StoredResource[], ports: InteractionPorts): readonly StoredResource[] {
  const owners = new Set<string>();
  for (const { labels } of flags) owners.add(ownerOf(labels) ?? '');
  const found: StoredResource[] = [];
  for (const id of owners) {
    const organization = ports.organizations.read(id);
    if (organization !== undefined) found.push(organization);
  }
  return found;
}

function tooManyIncluded(): Error {
  return fault('invalid', `More than ${maxIncluded} resources would be included. Request smaller pages with _count.`, {
    code: 'too-costly',
    expression: ['_include'],
  });
}

const targets: Readonly<Record<string, readonly string[]>> = {
  'Flag:author': ['Organization'],
  'Flag:patient': ['Patient'],
  'Flag:subject': ['Patient'],
  'AuditEvent:agent': ['Organization'],
  'AuditEvent:entity': ['Patient', 'Flag'],
  'AuditEvent:patient': ['Patient'],
};

/** Returns the types to which the references of an include are followed. */
function targetsOf({ source, param, target }: Include): readonly string[] {
  const types = targets[`${source}:${param}`] ?? [];
  return target === undefined ? types : types.filter((type) => type === target);
}

/** Returns the references of a resource under a parameter, as the caller may see them. */
function referencesOf(resource: StoredResource, param: string, caller: Caller): string[] {
  if (resource.type === 'Flag') {
    if (param === 'author') return [`Organization/${ownerOf(resource.labels) ?? ''}`];
    return patientsOf(resource).map((id) => `Patient/${id}`);
  }
  const event = showEvent(caller, resource);
  const elements = param === 'agent' ? event.agent.map(({ who }) => who) : event.entity?.map(({ what }) => what);
  return (elements ?? []).flatMap((element) => element?.reference ?? []);
}

async function readReferred(
  includes: readonly Include[],
  sources: readonly StoredResource[],
  known: Set<Key>,
  caller: Caller,
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  const wanted: { readonly type: string; readonly id: string }[] = [];
  for (const include of includes) {
    const types = targetsOf(include);
    await mapInTurns(sources, (resource) => {
      if (resource.type !== include.source) return;
      for (const text of referencesOf(resource, include.param, caller)) {
        const reference = parseReference(text, ports.baseUrl);
        if (reference === undefined || !types.includes(reference.type) || known.has(keyOf(reference))) continue;
        known.add(keyOf(reference));
        wanted.push(reference);
      }
    });
  }
  if (wanted.length > maxIncluded) throw tooManyIncluded();
  const found: StoredResource[] = [];
  for (let at = 0; at < wanted.length; at += readAtOnce) {
    if (at > 0) await nextTurn();
    const read = wanted.slice(at, at + readAtOnce).map(({ type, id }) => readVisible(type, id, caller, ports));
    for (const resource of await Promise.all(read)) if (resource !== undefined) found.push(resource);
  }
  return found;
}

async function readVisible(
  type: string,
  id: string,
  caller: Caller,
  ports: InteractionPorts,
): Promise<StoredResource | undefined> {
  if (type === 'Organization') return ports.organizations.read(id);
  const result = await ports.store.read(type, id);
  if (result.kind !== 'found') return undefined;
  // NHS staff see the Patient of a visible Flag. An authority that has withdrawn its plan no longer sees the Patient.
  const visible =
    caller.role === 'care-provider' ? type === 'Patient' : bearsLabelFor(caller, type, result.resource.labels);
  return visible ? result.resource : undefined;
}

/** Finds the resources that refer to the Patients among the sources. */
async function findReferring(
  includes: readonly Include[],
  sources: readonly StoredResource[],
  known: Set<Key>,
  caller: Caller,
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  const found: StoredResource[] = [];
  for (const { source, param } of includes) {
    const patients = sources.filter(({ type }) => type === 'Patient');
    for (let at = 0; at < patients.length; at += readAtOnce) {
      const any = patients.slice(at, at + readAtOnce).map(({ type, id }) => ({ kind: 'literal', type, id }) as const);
      const { matches, next } = await ports.store.search({
        type: source,
        clauses: [{ kind: 'reference', param, any }, ...narrow(caller, source, visibilityRule(ports))],
        sort: [],
        limit: maxIncluded,
        total: false,
      });
      if (next !== undefined) throw tooManyIncluded();
      for (const match of matches) {
        if (known.has(keyOf(match))) continue;
        known.add(keyOf(match));
        found.push(match);
      }
      if (found.length > maxIncluded) throw tooManyIncluded();
    }
  }
  return found;
}
