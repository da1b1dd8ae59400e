/** The most Subscriptions of one authority that are not `off`: each event is held against all of them. */
export const maxSubscriptions = 10;
