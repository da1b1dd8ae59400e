/** Returns where WebSocket subscribers connect. https://hl7.org/fhir/R4/subscription.html#websocket */
export function websocketUrl(baseUrl: string): string {
  return `${baseUrl.replace(/^http/, 'ws')}/$websocket`;
}
