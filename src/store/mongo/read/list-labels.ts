import type { Collections } from '../encoding/documents.ts';
import { startingWith } from '../encoding/key-text.ts';

interface LabelRange {
  readonly from: string;
  /** Whether the range starts after `from`, not with it. */
  readonly after: boolean;
  /** Undefined: without an end. */
  readonly to: string | undefined;
}

/**
 * Returns the labels of a type that start with `prefix`. Any document of a range gives one of its labels, and the ranges on
 * both sides of it are read next, so that each label costs two seeks in an index that several shards may have.
 */
export async function listLabels(
  { resource }: Pick<Collections, 'resource'>,
  type: string,
  prefix: string,
  timeLimitMs: number,
): Promise<readonly string[]> {
  const { $gte, $lt } = startingWith(prefix);
  const read = async (range: LabelRange): Promise<readonly string[]> => {
    const condition = {
      ...(range.after ? { $gt: range.from } : { $gte: range.from }),
      ...(range.to === undefined ? {} : { $lt: range.to }),
    };
    const found = await resource.findOne(
      { type: { $eq: type }, deleted: { $eq: false }, labels: { $elemMatch: condition } },
      { projection: { labels: 1 }, hint: 'by_label', maxTimeMS: timeLimitMs },
    );
    const { from, to, after } = range;
    const isInRange = (label: string): boolean =>
      (after ? label > from : label >= from) && (to === undefined || label < to) && label.startsWith(prefix);
    const label = found?.labels?.find(isInRange);
    if (label === undefined) return [];
    return [...(await read({ ...range, to: label })), label, ...(await read({ from: label, to, after: true }))];
  };
  return read({ from: $gte, to: $lt, after: false });
}
