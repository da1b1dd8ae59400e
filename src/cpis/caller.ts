/** The client of one request, as src/auth derives it from a verified token. */

/** Kinds of client in the registry. */
export type Role = 'authority' | 'care-provider' | 'operator' | 'auditor';

/** A local authority with children's services; `id` is the Organization.id (its GSS code). */
export interface LocalAuthority {
  readonly kind: 'local-authority';
  readonly id: string;
  readonly name: string;
  readonly odsCode: string;
  readonly gssCode: string;
  readonly dfeCode: string;
  readonly officeHoursTelephone: string;
  readonly emergencyDutyTeamTelephone: string;
  /** First day on which it holds plans, `YYYY-MM-DD` in Europe/London. */
  readonly validFrom?: string;
  /** Last day. On the next one, the vesting day, its successors take over. */
  readonly validTo?: string;
  /** Ids of its successors. */
  readonly replacedBy?: readonly string[];
  /** Systems that the references of its plans may have; undefined: any. */
  readonly referenceSystems?: readonly string[];
}

/** An organisation that is not a local authority: a care provider, or the operator of this server. `id` is its ODS code. */
interface OtherOrganisation {
  readonly kind: 'care-provider' | 'operator';
  readonly id: string;
  readonly name: string;
  readonly odsCode: string;
}

export type Organisation = LocalAuthority | OtherOrganisation;

/** The person behind a care provider's request, from the IHE IUA claims of the token. */
export interface Professional {
  /** `subject_id` where given (an SDS user id, for example). */
  readonly id?: { readonly system?: string; readonly value: string };
  /** `subject_name` */
  readonly name: string;
  /** `subject_role`: the coding where one was given; `text` always. */
  readonly role: { readonly system?: string; readonly code?: string; readonly text: string };
  /** The name of the organisation: in a Caller the registered one, whatever `subject_organization` says. */
  readonly organisationName: string;
  /** `subject_organization_id`: the ODS code, equal to that of the registered organisation. */
  readonly organisationId: string;
}

/**
 * One letter of a SMART v2 scope: create, read (with vread and the history of one resource), update, delete, search.
 */
export type Permission = 'c' | 'r' | 'u' | 'd' | 's';

/** What an access token depends on, besides its client. */
export interface Credential {
  /** Thumbprint of the client's key that the token was requested with; of this server's own tokens only. */
  readonly key?: string;
  /** The trusted issuer that signed it; undefined: this server. */
  readonly issuer?: string;
  /** SHA-256 thumbprint of the client certificate that it is bound to (RFC 8705). */
  readonly certificate?: string;
}

export interface Caller {
  readonly clientId: string;
  readonly role: Role;
  readonly organisation: Organisation;
  /** Permissions by resource type; `*` is every type. Scopes only narrow what the role may do. */
  readonly grants: ReadonlyMap<string, ReadonlySet<Permission>>;
  /** Set for each care provider that names its professional. */
  readonly professional?: Professional;
  /** `jti` of the access token. */
  readonly tokenId: string;
  readonly issuer: string;
  readonly credential?: Credential;
  /** True if the registry lets this client read silently (`IsUnscheduledAccessEvent: false`). */
  readonly silentReads: boolean;
  /** Exact origins (`https://host[:port]`) that Subscriptions of this client may have as endpoint. */
  readonly subscriptionOrigins: readonly string[];
}
