/** A statement with its parameters, as compilers return it. */
export interface CompiledSql {
  readonly sql: string;
  readonly params: readonly (string | number | null)[];
}

/** A limit clause. With a bare `LIMIT ?` SQLite prepares the statement again at each binding, five times slower. */
export const limitClause = 'LIMIT ? + 0';
