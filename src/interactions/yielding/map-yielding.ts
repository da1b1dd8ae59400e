const lengthBetweenYields = 200_000;
const minLength = 2_000;

/**
 * Maps each item in order, and yields to other requests after each stretch of items, measured by the length of their
 * text.
 */
export async function mapYielding<T, R>(
  items: readonly T[],
  map: (item: T) => R,
  lengthOf: (item: T) => number = () => minLength,
): Promise<R[]> {
  const results: R[] = [];
  let length = 0;
  for (const item of items) {
    if (length >= lengthBetweenYields) {
      length = 0;
      await new Promise(setImmediate);
    }
    length += Math.max(minLength, lengthOf(item));
    results.push(map(item));
  }
  return results;
}
