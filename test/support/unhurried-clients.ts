/** Settings under which one client may send as much as a test does, over as many connections and at one time. */
export const unhurriedClients = {
  CPIS_CLIENT_RATE: '1000000',
  CPIS_CLIENT_BURST: '1000000',
  CPIS_CLIENT_CONCURRENCY: '1024',
  CPIS_MAX_CONNECTIONS_PER_ADDRESS: '4096',
  CPIS_PROFESSIONAL_LOOK_UPS_PER_MINUTE: '0',
};
