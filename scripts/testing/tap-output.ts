/** How many assertions passed, failed and were skipped. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Returns the counts that tap writes at the end of a file's output; undefined if the output has no such line. */
export function readCounts(output: string): Counts | undefined {
  const totals = [...output.matchAll(/^# \{ (total: .*) \}$/gm)].at(-1)?.[1];
  if (totals === undefined) {
    // A file that leaves itself out has a plan of no tests.
    return /^1\.\.0(\s|$)/m.test(output) ? { passed: 0, failed: 0, skipped: 1 } : undefined;
  }
  const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(totals)?.[1] ?? 0);
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') };
}

/** Returns why tests were skipped, each reason once. */
export function readSkipReasons(output: string): readonly string[] {
  const reasons = [...output.matchAll(/^ *(?:(?:not )?ok \d+|1\.\.0).*? # SKIP(?: (.*))?$/gm)];
  return [...new Set(reasons.map(([, reason]) => reason ?? 'no reason is given'))];
}

/** Returns each failed assertion with the names of the tests around it and its diagnostics, as tap wrote them. */
export function readFailures(output: string): string {
  const shown: string[] = [];
  const names: { readonly indent: number; readonly line: string; isShown: boolean }[] = [];
  let diagnosticsIndent: number | undefined;
  let isShowing = false;
  for (const line of output.split('\n')) {
    const indent = line.search(/\S/);
    if (diagnosticsIndent !== undefined) {
      if (isShowing) shown.push(line);
      if (indent === diagnosticsIndent && line.trim() === '...') diagnosticsIndent = undefined;
    } else if (/^ *---$/.test(line)) {
      diagnosticsIndent = indent;
      if (isShowing) shown.push(line);
    } else if (/^ *# Subtest: /.test(line)) {
      names.push({ indent, line, isShown: false });
    } else if (/^ *(not )?ok \d/.test(line)) {
      // The result of a whole test follows its assertions at the indent of its name: they were shown already.
      const isOfTest = names.at(-1)?.indent === indent;
      if (isOfTest) names.pop();
      isShowing = line.trimStart().startsWith('not ok') && !/# (TODO|SKIP)/.test(line) && !isOfTest;
      if (!isShowing) continue;
      for (const name of names.filter(({ isShown }) => !isShown)) {
        shown.push(name.line);
        name.isShown = true;
      }
      shown.push(line);
    }
  }
  return shown.join('\n');
}
