/** Maximum Subscriptions of one authority that are not `off`. Each event is matched against all of them. */
export const maxSubscriptions = 10;
