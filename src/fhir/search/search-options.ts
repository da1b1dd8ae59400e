import type { SearchParameterDefinitions } from '../definitions/search-parameters.ts';
import type { LinkOptions } from './linked-criterion.ts';

export interface ParseSearchOptions extends LinkOptions {
  readonly definitions: SearchParameterDefinitions;
  /** Parameters that this caller may use on the type, including `_id` and `_lastUpdated`. All others are unknown. */
  readonly allowed: ReadonlySet<string>;
  /** Token parameters whose texts are indexed for `:text`. */
  readonly texts?: ReadonlySet<string>;
  /** Reference parameters without indexed identifiers. `:identifier` is refused for them; the chain is not. */
  readonly literals?: ReadonlySet<string>;
  /** Current time for the prefix `ap`, in epoch milliseconds. Without it, `ap` is refused. */
  readonly nowMs?: number;
  /** `Prefer: handling`. Strict refuses an unknown parameter, lenient lists it in `ignored`. */
  readonly handling: 'strict' | 'lenient';
  /** The server's base URL, without a trailing slash. */
  readonly baseUrl: string;
  /** Page size if the client sends no `_count`. */
  readonly defaultCount?: number;
  /** Maximum page size. A larger `_count` is lowered to it. */
  readonly maxCount: number;
  /** Allowed values of `_include`, such as `Flag:author`. */
  readonly includes: ReadonlySet<string>;
  /** Allowed values of `_revinclude`, such as `Flag:patient`. */
  readonly revincludes?: ReadonlySet<string>;
  /** Extra values allowed with `:iterate`, for `_include` and `_revinclude`. */
  readonly iterates?: ReadonlySet<string>;
  /** Sortable parameters, which may include `_id` and `_lastUpdated`. */
  readonly sorts: ReadonlySet<string>;
}
