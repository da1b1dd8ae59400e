const form = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/;
const minBytes = 24;
const maxBytes = 64;

/**
 * Decodes a Standard Webhooks secret, `whsec_` and the base64 of 24 to 64 bytes. Returns undefined for any other text.
 */
export function parseWebhookSecret(text: string): Buffer | undefined {
  const base64 = form.exec(text)?.[1];
  if (base64 === undefined) return undefined;
  const bytes = Buffer.from(base64, 'base64');
  const isCanonical = bytes.toString('base64') === base64;
  return isCanonical && bytes.length >= minBytes && bytes.length <= maxBytes ? bytes : undefined;
}
