/**
 * Encodes searchable values as texts, `Type|parameter|how|value`, so that nearly every search is an equality on one indexed
 * array. A token has three of them: with its system, its code alone, and its system alone.
 */
import type { IndexValue, ReferenceValue, TokenValue } from '../../../fhir/search/ast.ts';
import { keyPart } from './key-text.ts';

/** Returns the key of every resource that has a value for the parameter. All other keys of the parameter start with it. */
export function paramKey(type: string, param: string): string {
  return `${type}|${param}`;
}

/** Returns the keys under which a value is found. */
export function keysOf(type: string, value: IndexValue): readonly string[] {
  const p = paramKey(type, value.param);
  switch (value.kind) {
    case 'token': {
      const { system, code } = value;
      return [p, tokenKey(p, { system, code }), tokenKey(p, { code }), tokenKey(p, { system })];
    }
    case 'reference': {
      const { id } = value;
      const literal = { kind: 'literal', id } as const;
      return [p, referenceKey(p, { ...literal, type: value.type }), referenceKey(p, literal)];
    }
    case 'reference-identifier': {
      const identifier = { kind: 'identifier', value: value.value } as const;
      return [p, referenceKey(p, { ...identifier, system: value.system }), referenceKey(p, identifier)];
    }
    case 'date':
      return [p];
    case 'string':
      return [p, textKey(p, value.normalised), exactKey(p, value.exact)];
    case 'uri':
      return [p, uriKey(p, value.value), ...foldersOf(value.value).map((folder) => folderKey(p, folder))];
  }
}

/** Returns the key of a token. Here and below, `p` is the key of the parameter. */
export function tokenKey(p: string, { system, code }: TokenValue): string {
  if (code === undefined) return system === undefined ? p : `${p}|s|${system ?? ''}`;
  return system === undefined ? `${p}|c|${code}` : `${p}|t|${keyPart(code)}|${system ?? ''}`;
}

export function referenceKey(p: string, value: ReferenceValue): string {
  if (value.kind === 'literal') {
    return value.type === undefined ? `${p}|i|${value.id}` : `${p}|r|${keyPart(value.id)}|${value.type}`;
  }
  return value.system === undefined ? `${p}|v|${value.value}` : `${p}|l|${keyPart(value.value)}|${value.system ?? ''}`;
}

/** Returns the key of a normalised text. It is the prefix of the keys of all texts that start with the text. */
export function textKey(p: string, normalised: string): string {
  return `${p}|n|${normalised}`;
}

export function exactKey(p: string, exact: string): string {
  return `${p}|x|${exact}`;
}

export function uriKey(p: string, uri: string): string {
  return `${p}|u|${uri}`;
}

/** Returns the key of every URI that starts with `folder`, which ends with a slash. */
export function folderKey(p: string, folder: string): string {
  return `${p}|b|${folder}`;
}

function foldersOf(uri: string): readonly string[] {
  return [...uri.matchAll(/\//g)].map(({ index }) => uri.slice(0, index + 1));
}
