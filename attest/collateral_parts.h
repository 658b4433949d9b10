/* The inside of struct attest_collateral, for what verifies with it. */
#ifndef COFRE_ATTEST_COLLATERAL_PARTS_H
#define COFRE_ATTEST_COLLATERAL_PARTS_H

#include <openssl/x509.h>

#include "attest/certificate.h"
#include "attest/collateral.h"
#include "attest/qe_identity.h"
#include "attest/tcb_info.h"

/* What is wrong with one part; check is ATTEST_CHECK_NONE if nothing is. */
struct collateral_failure {
    enum attest_check check;
    enum attest_outcome outcome; /* INCOMPLETE where it is missing */
    char reason[sizeof(((struct attest_result *)0)->reason)];
};

struct attest_collateral {
    struct attest_roots roots;
    struct collateral_failure failure; /* the first; only if there is none are all the parts below there */

    struct certificate_chain ca_chain; /* CA, root: issuers of the PCK CRL */
    X509_CRL *pck_crl, *root_crl;
    struct certificate_chain tcb_chain; /* signer, root */
    struct tcb_info tcb_info;
    struct certificate_chain qe_chain; /* signer, root */
    struct qe_identity qe_identity;
    bool has_validity[ATTEST_DATED_COUNT];
    struct attest_validity validity[ATTEST_DATED_COUNT]; /* of all but the PCK certificate and its CA's */

    struct certificate_cache *pck_cache; /* PCK certificates that ca_chain's CA was seen to have issued */

    struct pem_list pck_list; /* the PCK certificate alone or with its chain; empty if none was given */
    struct collateral_failure pck_failure;
};

#endif
