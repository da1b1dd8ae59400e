const perTurn = 100;

/** `map` of each item in order; after so many, other requests have their turn. At once where there are fewer. */
export function inTurns<T, R>(items: readonly T[], map: (item: T) => R): R[] | Promise<R[]> {
  return items.length <= perTurn ? items.map((item) => map(item)) : overTurns(items, map);
}

async function overTurns<T, R>(items: readonly T[], map: (item: T) => R): Promise<R[]> {
  const results: R[] = [];
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % perTurn === 0) await new Promise(setImmediate);
    results.push(map(item));
  }
  return results;
}
