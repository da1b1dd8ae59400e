const lengthPerTurn = 200_000;
const shortItem = 2_000;

/** `map` of each item in order; after so much, by the length of their text, other requests have their turn. */
export async function mapYielding<T, R>(
  items: readonly T[],
  map: (item: T) => R,
  lengthOf: (item: T) => number = () => shortItem,
): Promise<R[]> {
  const results: R[] = [];
  let length = 0;
  for (const item of items) {
    if (length >= lengthPerTurn) {
      length = 0;
      await new Promise(setImmediate);
    }
    length += Math.max(shortItem, lengthOf(item));
    results.push(map(item));
  }
  return results;
}
