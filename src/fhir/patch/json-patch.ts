/** Applies JSON Patch. https://www.rfc-editor.org/rfc/rfc6902 */
import fastJsonPatch from 'fast-json-patch';
import { fault } from '../fault.ts';
import { type ApplyPatch, cannotApply, isJsonObject, type JsonObject, maxOperations, refuseExcess } from './patched.ts';

type Operation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly path: string; readonly from: string };

const inherited = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);
const pointer = /^(?:\/(?:[^~/]|~[01])*)*$/;

function malformed(index: number, what: string): Error {
  return fault('structure', `Operation ${index} of the JSON Patch (counted from 0) ${what}.`);
}

function parsePointer(value: unknown, index: number, name: string): string {
  if (typeof value !== 'string' || !pointer.test(value)) {
    throw malformed(index, `must have a JSON Pointer as ${name}`);
  }
  for (const token of value.split('/')) {
    if (inherited.has(token) || /^0\d/.test(token))
      throw malformed(index, `has a name in ${name} that no resource has`);
  }
  return value;
}

function parseOperation(operation: unknown, index: number): Operation {
  if (!isJsonObject(operation)) throw malformed(index, 'is not a JSON object');
  const { op } = operation;
  const path = parsePointer(operation['path'], index, 'path');
  switch (op) {
    case 'add':
    case 'replace':
    case 'test':
      if (!Object.hasOwn(operation, 'value')) throw malformed(index, 'must have a value');
      refuseExcess(operation['value']);
      return { op, path, value: operation['value'] };
    case 'remove':
      return { op, path };
    case 'move':
    case 'copy': {
      const from = parsePointer(operation['from'], index, 'from');
      if (op === 'move' && path.startsWith(`${from}/`)) throw malformed(index, 'moves an element into itself');
      return { op, path, from };
    }
    default:
      throw malformed(index, 'must have an op of add, remove, replace, move, copy or test');
  }
}

/** Parses a JSON Patch document. Throws a 400 fault unless all operations are well-formed. */
export function parseJsonPatch(document: unknown): ApplyPatch {
  if (!Array.isArray(document)) throw fault('structure', 'A JSON Patch must be an array of operations.');
  if (document.length > maxOperations) {
    throw fault('structure', `A patch may have at most ${maxOperations} operations. Split it.`, { code: 'too-costly' });
  }
  const operations = document.map(parseOperation);
  return function* (resource) {
    let patched: unknown = structuredClone(resource);
    for (const [index, operation] of operations.entries()) {
      yield;
      patched = applyOne(patched, operation, index);
      refuseExcess(patched);
    }
    if (!isJsonObject(patched)) throw cannotApply('The patch must not remove the resource.');
    return patched;
  };
}

/** Applies one operation. RFC 6902 defines `move` and `copy` by `remove` and `add`. */
function applyOne(document: unknown, operation: Operation, index: number): unknown {
  try {
    if (operation.op !== 'move' && operation.op !== 'copy') return apply(document, structuredClone(operation));
    const found: JsonObject = { op: '_get', path: operation.from, value: undefined };
    apply(document, found);
    if (found['value'] === undefined)
      throw cannotApply(`The from of operation ${index} (counted from 0) does not exist.`);
    const value = structuredClone(found['value']);
    const without = operation.op === 'move' ? apply(document, { op: 'remove', path: operation.from }) : document;
    return apply(without, { op: 'add', path: operation.path, value });
  } catch (error) {
    if (!(error instanceof fastJsonPatch.JsonPatchError)) throw error;
    const failed = error.name === 'TEST_OPERATION_FAILED';
    throw cannotApply(
      `Operation ${index} of the JSON Patch (counted from 0) ${failed ? 'has a test that fails' : 'has a path that does not exist'}.`,
      { cause: error, detail: error.name },
    );
  }
}

function apply(document: unknown, operation: object): unknown {
  if (document === null || typeof document !== 'object') throw cannotApply('The patch must not remove the resource.');
  return fastJsonPatch.applyOperation(document, operation as fastJsonPatch.Operation, true, true, true).newDocument;
}
