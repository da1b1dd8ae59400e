/** Parses the operations of a FHIRPath Patch in a Parameters resource. https://hl7.org/fhir/R4/fhirpatch.html */
import { type FhirFault, fault } from '../fault.ts';
import type { Steps } from '../steps.ts';
import type { Item } from './element.ts';
import { compilePatchPath, type FindElements } from './patch-path.ts';
import { isJsonObject, maxOperations, refuseExcess } from './patched.ts';

/** A new value: a value of a type, or its members one by one if R4 has no name for the type. */
export type PatchValue =
  /** `type` as in `value[x]`, such as `HumanName` or `String`. */
  | { readonly kind: 'typed'; readonly type: string; readonly item: Item }
  | { readonly kind: 'parts'; readonly parts: readonly (readonly [name: string, value: PatchValue])[] };

interface At {
  /** `Parameters.parameter[n]`, for the expression of issues. */
  readonly at: string;
  readonly find: FindElements;
}

export type PatchOperation = At &
  (
    | { readonly type: 'add'; readonly name: string; readonly value: PatchValue }
    | {
        readonly type: 'insert';
        readonly value: PatchValue;
        readonly index: number;
        /** The place of the list if it does not exist yet; undefined if the path does not end in a name. */
        readonly empty: { readonly find: FindElements; readonly name: string } | undefined;
      }
    | { readonly type: 'delete' }
    | { readonly type: 'replace'; readonly value: PatchValue }
    | { readonly type: 'move'; readonly source: number; readonly destination: number }
  );

const wanted = {
  add: ['path', 'name', 'value'],
  insert: ['path', 'value', 'index'],
  delete: ['path'],
  replace: ['path', 'value'],
  move: ['path', 'source', 'destination'],
} as const;

const typedValue = /^value([A-Z][A-Za-z0-9]{0,63})$/;
const elementName = /^[A-Za-z][A-Za-z0-9]{0,63}$/;
const lastName = /^(?:(.+)\.)?([A-Za-z][A-Za-z0-9]*)$/s;

function malformed(at: string, what: string): FhirFault {
  return fault('structure', `The FHIRPath Patch ${what}.`, { expression: [at] });
}

function parseValue(part: Readonly<Record<string, unknown>>, at: string): PatchValue {
  const names = Object.keys(part).filter((name) => name !== 'name');
  if (names.length === 1 && names[0] === 'part') {
    const { part: list } = part;
    if (!Array.isArray(list) || list.length === 0) throw malformed(at, 'has a value without parts');
    return {
      kind: 'parts',
      parts: list.map((member: unknown, index) => {
        const atMember = `${at}.part[${index}]`;
        if (!isJsonObject(member) || typeof member['name'] !== 'string' || !elementName.test(member['name'])) {
          throw malformed(atMember, 'has a part without a name');
        }
        return [member['name'], parseValue(member, atMember)];
      }),
    };
  }
  const types = new Set(names.map((name) => typedValue.exec(name.replace(/^_/, ''))?.[1]));
  const [type] = types;
  if (type === undefined || types.size !== 1) throw malformed(at, 'has a part that is not exactly one value');
  return { kind: 'typed', type, item: { value: part[`value${type}`], beside: part[`_value${type}`] } };
}

interface Parts {
  text(name: string, ...keys: string[]): string;
  position(name: string): number;
  value(): PatchValue;
}

function partsOf(parameter: unknown, at: string): Parts & { readonly names: readonly string[] } {
  if (!isJsonObject(parameter) || parameter['name'] !== 'operation' || !Array.isArray(parameter['part'])) {
    throw malformed(at, 'has a parameter that is not named operation or has no parts');
  }
  if (Object.keys(parameter).length > 2) throw malformed(at, 'has an operation with members other than its parts');
  const found = new Map<string, { readonly part: Readonly<Record<string, unknown>>; readonly at: string }>();
  for (const [index, part] of parameter['part'].entries()) {
    const atPart = `${at}.part[${index}]`;
    if (!isJsonObject(part) || typeof part['name'] !== 'string') throw malformed(atPart, 'has a part without a name');
    if (found.has(part['name'])) throw malformed(atPart, 'has the same part twice');
    found.set(part['name'], { part, at: atPart });
  }
  const only = (name: string, keys: readonly string[]): unknown => {
    const { part = {}, at: atPart = at } = found.get(name) ?? {};
    const key = keys.find((each) => Object.hasOwn(part, each));
    if (key === undefined || Object.keys(part).length !== 2)
      throw malformed(atPart, `must have a part ${name} with ${keys[0]}`);
    return part[key];
  };
  return {
    names: [...found.keys()],
    text(name, ...keys) {
      const text = only(name, keys);
      if (typeof text !== 'string') throw malformed(found.get(name)?.at ?? at, `must have text as ${name}`);
      return text;
    },
    position(name) {
      const number = only(name, ['valueInteger']);
      if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number;
      throw malformed(found.get(name)?.at ?? at, `must give ${name} as an integer of 0 or more`);
    },
    value() {
      const { part, at: atPart } = found.get('value') ?? {};
      if (part === undefined || atPart === undefined) throw malformed(at, 'must have a part named value');
      return parseValue(part, atPart);
    },
  };
}

function isType(text: string): text is keyof typeof wanted {
  return Object.hasOwn(wanted, text);
}

function parseOperation(parameter: unknown, index: number): PatchOperation {
  const at = `Parameters.parameter[${index}]`;
  refuseExcess(parameter);
  const parts = partsOf(parameter, at);
  const type = parts.text('type', 'valueCode', 'valueString');
  if (!isType(type)) throw malformed(at, 'must have operations of type add, insert, delete, replace or move');
  const allowed: readonly string[] = ['type', ...wanted[type]];
  if (parts.names.some((name) => !allowed.includes(name))) {
    throw malformed(at, `may have only these parts for ${type}: ${allowed.join(', ')}`);
  }
  const path = parts.text('path', 'valueString');
  const find = compilePatchPath(path);
  if (find === undefined)
    throw malformed(at, 'has a path that is not valid FHIRPath, or uses FHIRPath that this server does not support');
  switch (type) {
    case 'add': {
      const name = parts.text('name', 'valueString');
      if (!elementName.test(name)) throw malformed(at, 'has a name that is not an element name');
      return { at, find, type, name, value: parts.value() };
    }
    case 'insert': {
      const [, above, name] = lastName.exec(path) ?? [];
      const findAbove = above === undefined ? () => [[]] : compilePatchPath(above);
      const empty = name === undefined || findAbove === undefined ? undefined : { find: findAbove, name };
      return { at, find, type, empty, value: parts.value(), index: parts.position('index') };
    }
    case 'delete':
      return { at, find, type };
    case 'replace':
      return { at, find, type, value: parts.value() };
    case 'move':
      return { at, find, type, source: parts.position('source'), destination: parts.position('destination') };
  }
}

/** Parses all operations. Throws a 400 fault that names the parameter if one is malformed. */
export function* parseOperations(parameters: Readonly<Record<string, unknown>>): Steps<PatchOperation[]> {
  const { parameter = [] } = parameters;
  if (!Array.isArray(parameter)) throw malformed('Parameters.parameter', 'must have a list of parameters');
  if (parameter.length > maxOperations) {
    throw fault('structure', `A patch may have at most ${maxOperations} operations. Split it.`, {
      code: 'too-costly',
      expression: ['Parameters.parameter'],
    });
  }
  const operations: PatchOperation[] = [];
  for (const [index, each] of parameter.entries()) {
    // Compiling a path is expensive.
    yield;
    operations.push(parseOperation(each, index));
  }
  return operations;
}
