/** Leaves elements out of resources. Mandatory elements stay, and so do elements that change the meaning of others. */
import { defined } from '../defined.ts';
import type { Definitions, ElementRecord } from '../definitions/definitions.ts';
import type { Shape } from './shape.ts';

/** Returns the JSON text of a resource in a shape, tagged SUBSETTED. */
export type ShapeResource = (body: string, shape: Shape) => string;

interface Outline {
  readonly isMandatory: boolean;
  readonly isSummary: boolean;
  /** Child elements of a backbone element. */
  readonly children: ReadonlyMap<string, Outline> | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** https://hl7.org/fhir/R4/resource.html#simple-tags */
const subsetted = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
const alwaysKept = new Set(['resourceType', 'id', 'meta', 'implicitRules', 'modifierExtension']);

/** Optional elements that are kept because an invariant requires one of them (org-1). */
const heldByInvariant = new Set(['Organization.name', 'Organization.identifier']);

/** Builds a ShapeResource. It returns a resource of a type without a definition unchanged. */
export function buildShapeResource(definitions: Pick<Definitions, 'types'>): ShapeResource {
  const outlines = new Map<string, ReadonlyMap<string, Outline>>();
  const outlineOf = (type: string): ReadonlyMap<string, Outline> | undefined => {
    const record = definitions.types.get(type);
    const outline = outlines.get(type) ?? (record === undefined ? undefined : buildOutline(type, record.elements));
    if (outline !== undefined) outlines.set(type, outline);
    return outline;
  };
  return (body, shape) => {
    const resource = JSON.parse(body) as Json & { readonly resourceType: string };
    const outline = outlineOf(resource.resourceType);
    return outline === undefined ? body : JSON.stringify(tag(select(resource, outline, shape)));
  };
}

function buildOutline(path: string, records: readonly ElementRecord[]): ReadonlyMap<string, Outline> {
  const outline = new Map<string, Outline>();
  const prefix = `${path}.`;
  for (const record of records) {
    if (!record.path.startsWith(prefix) || record.path.includes('.', prefix.length)) continue;
    const children = buildOutline(record.path, records);
    const element: Outline = {
      isMandatory: (record.min ?? 0) > 0 || heldByInvariant.has(record.path),
      isSummary: record.isSummary === true,
      children: children.size === 0 ? undefined : children,
    };
    for (const name of namesOf(record, prefix.length)) outline.set(name, element);
  }
  return outline;
}

/** Returns the JSON names of an element. A choice has one for each type, and its own name. */
function namesOf({ path, types = [] }: ElementRecord, start: number): string[] {
  const name = path.slice(start).replace('[x]', '');
  if (!path.endsWith('[x]')) return [name];
  return [name, ...types.map(({ code }) => name + code.charAt(0).toUpperCase() + code.slice(1))];
}

function select(resource: Json, outline: ReadonlyMap<string, Outline>, shape: Shape): Json {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(resource)) {
    const element = outline.get(bare(name));
    if (alwaysKept.has(name) || element?.isMandatory === true || isAsked(bare(name), element, outline, shape)) {
      kept[name] = shape.kind === 'summary' ? summarise(value, element) : value;
    }
  }
  return kept;
}

/** Treats `_birthDate` as `birthDate`. */
function bare(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name;
}

function isAsked(
  name: string,
  element: Outline | undefined,
  outline: ReadonlyMap<string, Outline>,
  shape: Shape,
): boolean {
  switch (shape.kind) {
    case 'elements':
      return [...shape.names].some(
        (asked) => asked === name || (element !== undefined && outline.get(asked) === element),
      );
    case 'text':
      return name === 'text';
    case 'data':
      return name !== 'text';
    case 'summary':
      return element?.isSummary === true;
  }
}

/** Keeps the summary and mandatory children of a backbone element. */
function summarise(value: unknown, element: Outline | undefined): unknown {
  const children = element?.children;
  if (children === undefined) return value;
  if (Array.isArray(value)) return value.map((item) => summarise(item, element));
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([name]) => {
    const child = children.get(bare(name));
    return child?.isSummary === true || child?.isMandatory === true;
  });
  return Object.fromEntries(members.map(([name, member]) => [name, summarise(member, children.get(bare(name)))]));
}

function tag(resource: Json): Json {
  const { resourceType, id, meta = {}, ...others } = resource as Json & { readonly meta?: Json };
  const tags = Array.isArray(meta['tag']) ? (meta['tag'] as readonly Json[]) : [];
  const isTagged = tags.some(({ system, code }) => system === subsetted.system && code === subsetted.code);
  const tagged = { ...meta, tag: isTagged ? tags : [...tags, subsetted] };
  return { resourceType, ...defined({ id }), meta: tagged, ...others };
}
