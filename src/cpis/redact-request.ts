/** Takes secrets out of the text of a request before it is recorded. */

const redacted = '[redacted]';
const mayHoldSecret = /token|secret|assertion|passw|verifier|auth|bearer|key|eyJ|jwt|sig|code|%/i;
const parameter = /([?&]|^)([^?&=#\s]+)=([^&#]*)/g;
const secretName =
  /(?:^|[._~-])(?:token|jwt|assertion|secret|password|passwd|verifier|authorization|signature|sig|session|api[_-]?key|key)$/i;
const secretWord = /^[a-z]*(?:token|assertion|secret|password)$/i;
/** Names by which a request is an OAuth one, so that its `code` is a secret too. In FHIR, `code` is a search parameter. */
const oauthName = /(?:^|[?&])(?:state|grant_type|code_verifier|redirect_uri|session_state)=/i;
/** A JSON Web Token, whole or cut off, and what follows the word Bearer. */
const tokenText = /eyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g;
const bearerText = /(bearer(?:\s|%20|\+|:|%3A)+)[^\s&#]+/gi;

/** Replaces the values of parameters that are secrets by their name, and tokens wherever they are, by `[redacted]`. */
export function redactRequest(raw: string): string {
  if (!mayHoldSecret.test(raw)) return raw;
  const isOauth = oauthName.test(raw);
  return raw
    .replace(parameter, (whole: string, mark: string, name: string) => {
      const plain = decodeName(name);
      const isSecret = secretName.test(plain) || secretWord.test(plain) || (isOauth && plain.toLowerCase() === 'code');
      return isSecret ? `${mark}${name}=${redacted}` : whole;
    })
    .replace(bearerText, `$1${redacted}`)
    .replace(tokenText, redacted);
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' ')).trim();
  } catch {
    return name;
  }
}
