/*
 * The simulated platform's certification: what Intel's PCE, PCS and root CA do for a real one. Made once for each
 * machine; its root is trusted by nobody who is not told to.
 */
#ifndef COFRE_HOST_QUOTE_SIMULATION_PKI_H
#define COFRE_HOST_QUOTE_SIMULATION_PKI_H

/* Makes keys, certificates and the certified attestation key in the state folder, unless they are there. 0, or -1 with
 * *ret_error. */
int simulation_provision(char **ret_error);

/*
 * Writes the collateral that verifies the simulated platform's quotes into a folder, made if need be: root.pem,
 * pck_chain.pem, tcb_info.json, tcb_info_chain.pem, qe_identity.json, qe_identity_chain.pem, pck_crl.der,
 * pck_crl_chain.pem, root_crl.der. Issued now, for 30 days. 0, or -1 with *ret_error.
 */
int simulation_export(const char *folder, char **ret_error);

#endif
