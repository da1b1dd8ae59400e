/**
 * The place of a delivery in its AuditEvent. The place never changes, so an update names it both in its filter and in the
 * fields that it sets, and is atomic. A delivery has two keys in `queue`: its task, with the time if it waits for one, and
 * its tally. Queries use equality and prefix ranges on these keys only.
 */
import type { Document } from 'mongodb';
import type { AuditDocument, Collections, DeliveryDocument, DeliveryState } from './documents.ts';
import { keyPart, keyPartText } from './key-text.ts';

export const oldestFirst = { recordedMs: 1, seq: 1 } as const;

/** What a delivery counts as. `owed`: undelivered, neither parked nor unmatched. */
export type Tally = 'owed' | 'parked' | 'unwanted' | 'delivered' | 'passed';

/** States without a time. */
const untimed: ReadonlySet<DeliveryState> = new Set(['ready', 'delivered', 'passed']);

/** Returns the task key of a delivery in a state without a time, and the prefix of the task key in any other state. */
export function taskText(state: DeliveryState, authority: string): string {
  const text = `${state}|${keyPart(authority)}`;
  return untimed.has(state) ? text : `${text}|`;
}

/** Returns the task key in a state with a time. Keys are in the order of times. */
export function timedText(state: 'waiting' | 'leased' | 'unwanted', authority: string, untilMs: number): string {
  return taskText(state, authority) + timeText(untilMs);
}

/** Returns the tally key. */
export function tallyText(tally: Tally, authority: string): string {
  return `${tally}|${keyPart(authority)}`;
}

/** Returns the authority of a key without a time. */
export function authorityOf(text: string): string {
  return keyPartText(text.slice(text.indexOf('|') + 1));
}

/** Returns both keys of a delivery, in the order of `queue`. */
export function queueTexts(
  delivery: Pick<DeliveryDocument, 'authority' | 'state' | 'waitUntilMs' | 'parked'>,
): readonly [task: string, tally: string] {
  const { authority, state, waitUntilMs, parked } = delivery;
  const task =
    state === 'ready' || state === 'delivered' || state === 'passed'
      ? taskText(state, authority)
      : timedText(state, authority, waitUntilMs);
  if (state === 'unwanted' || state === 'delivered' || state === 'passed') return [task, tallyText(state, authority)];
  return [task, tallyText(parked ? 'parked' : 'owed', authority)];
}

const maxMs = 9e15;

/** Encodes a time with a fixed number of characters, so that texts sort as times do, including times before 1970. */
function timeText(ms: number): string {
  const whole = Math.max(-maxMs, Math.min(maxMs, Math.floor(ms)));
  return whole < 0 ? `0${String(maxMs + whole).padStart(16, '0')}` : `1${String(whole).padStart(16, '0')}`;
}

/** Identifies a delivery. */
export interface DeliveryPlace {
  readonly auditId: string;
  readonly position: number;
}

/** Returns the path of the task key. */
export const taskPath = (position: number): string => `queue.${2 * position}`;

/** Returns the path of the tally key. */
export const tallyPath = (position: number): string => `queue.${2 * position + 1}`;

/** Returns conditions on fields of the delivery, or the values to set, with their paths. */
export function atPlace(position: number, fields: Document): Document {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`deliveries.${position}.${name}`, value]));
}

/** Returns the `$set` that brings a delivery into a state and changes further fields. `tally` is given only if it changes. */
export function setState(
  position: number,
  authority: string,
  to:
    | { readonly state: 'ready' | 'delivered' | 'passed' }
    | { readonly state: 'waiting' | 'leased' | 'unwanted'; readonly waitUntilMs: number },
  { tally, ...fields }: Partial<DeliveryDocument> & { readonly tally?: Tally },
): Document {
  const task = 'waitUntilMs' in to ? timedText(to.state, authority, to.waitUntilMs) : taskText(to.state, authority);
  return {
    [taskPath(position)]: task,
    ...(tally === undefined ? {} : { [tallyPath(position)]: tallyText(tally, authority) }),
    ...atPlace(position, { ...to, ...fields }),
  };
}

/** Returns the place of the authority's delivery, of which an AuditEvent has one at most; undefined if it does not match. */
export function placeOf(
  { _id, deliveries }: Pick<AuditDocument, '_id' | 'deliveries'>,
  authority: string,
  matches: (delivery: DeliveryDocument) => boolean = () => true,
): DeliveryPlace | undefined {
  const position = deliveries.findIndex((delivery) => delivery.authority === authority && matches(delivery));
  return position < 0 ? undefined : { auditId: _id, position };
}

/** Returns the filter of the AuditEvents that follow one, oldest first. */
export function after({ recordedMs, seq }: Pick<AuditDocument, 'recordedMs' | 'seq'>): Document {
  return { $or: [{ recordedMs: { $gt: recordedMs } }, { recordedMs: { $eq: recordedMs }, seq: { $gt: seq } }] };
}

/** Finds the oldest deliveries of the authority that match, among AuditEvents that meet the filter. */
export async function findOldest(
  { audit }: Pick<Collections, 'audit'>,
  authority: string,
  filter: Document,
  matches: (delivery: DeliveryDocument) => boolean,
  limit: number,
): Promise<readonly DeliveryPlace[]> {
  const places: DeliveryPlace[] = [];
  let page: Document = { undelivered: { $gt: 0 }, ...filter };
  while (true) {
    const asked = limit - places.length;
    const options = { projection: { recordedMs: 1, seq: 1, deliveries: 1 }, sort: oldestFirst, limit: asked };
    const found = await audit.find(page, options).toArray();
    places.push(...found.flatMap((document) => placeOf(document, authority, matches) ?? []));
    const last = found.at(-1);
    if (last === undefined || found.length < asked || places.length === limit) return places;
    page = { $and: [{ undelivered: { $gt: 0 }, ...filter }, after(last)] };
  }
}

/**
 * Changes deliveries and returns the count. The condition is checked again, because another server may have changed some of
 * them since they were found.
 */
export async function changePlaces(
  { audit }: Pick<Collections, 'audit'>,
  places: readonly DeliveryPlace[],
  condition: (position: number) => Document,
  set: (position: number) => Document,
): Promise<number> {
  let changed = 0;
  for (const [position, ofPosition] of Map.groupBy(places, (place) => place.position)) {
    const ids = ofPosition.map(({ auditId }) => auditId);
    const filter = { _id: { $in: ids }, ...condition(position) };
    changed += (await audit.updateMany(filter, { $set: set(position) })).modifiedCount;
  }
  return changed;
}
