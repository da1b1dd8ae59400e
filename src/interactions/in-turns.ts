const perTurn = 100;

/** `map` of each item in order; after so many, other requests have their turn. */
export async function inTurns<T, R>(items: readonly T[], map: (item: T) => R): Promise<R[]> {
  const results: R[] = [];
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % perTurn === 0) await new Promise(setImmediate);
    results.push(map(item));
  }
  return results;
}
