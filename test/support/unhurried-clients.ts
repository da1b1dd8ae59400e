/** Settings under which one client may send as much as a test does. */
export const unhurriedClients = { CPIS_CLIENT_RATE: '1000000', CPIS_CLIENT_BURST: '1000000' };
