/*
 * A client of the services that hand out Intel's collateral: Intel's own (PCS), a caching service in one's own house
 * (PCCS) and Azure's cache (THIM), which speak one REST API in versions 3 and 4. Intel, "Provisioning Certification
 * Service for ECDSA Attestation", https://api.portal.trustedservices.intel.com.
 */
#ifndef COFRE_ATTEST_FETCH_H
#define COFRE_ATTEST_FETCH_H

#include "attest/document.h"

#define ATTEST_PCS_URL "https://api.trustedservices.intel.com"
#define ATTEST_AZURE_URL "https://global.acccache.azure.net"
#define ATTEST_ROOT_CRL_URL "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

struct attest_source_options {
    const char *url;          /* of the service, with or without "/sgx/certification/vN"; NULL: Intel's */
    int version;              /* 3 or 4; 0: what the URL says, else 4 */
    const char *ca_file;      /* PEM roots for TLS; NULL: the system's */
    const char *api_key;      /* Ocp-Apim-Subscription-Key, that PCS wants for PCK certificates; or NULL */
    const char *root_crl_url; /* NULL: Intel's for PCS; URL/sgx/certification/vN/rootcacrl for the others */
    int update_early;         /* version 4: collateral of a TCB recovery before it is enforced */
    int evaluation_number;    /* version 4: this TCB evaluation data number; 0: the service's choice */
    const char *cache_folder; /* NULL: no cache */
    int64_t max_age; /* a cached document that was fetched longer ago (seconds) is fetched again; 0: no limit */
    long timeout_ms; /* for each document; 0: ATTEST_HTTP_TIMEOUT_MS */
    void (*warn)(void *context,
                 const char *text); /* what did not stop the work: a damaged file of the cache; or NULL */
    void *warn_context;
};

struct attest_source; /* belongs to one thread */

struct attest_source *attest_source_new(const struct attest_source_options *options, char **ret_error);
void attest_source_free(struct attest_source *source);

/* Its server, without the API's part of the path. */
const char *attest_source_url(const struct attest_source *source);

/*
 * One document: out of the cache while it holds (until nextUpdate, and max_age), else from the service, then kept. It
 * is what was asked for, well-formed, with its issuers' chain; signatures are not checked. The caller frees it.
 * *ret_cached (may be NULL) says where it came from. Errors name the URL.
 */
int attest_fetch(struct attest_source *source, const struct attest_document_request *request,
                 struct attest_document *ret_document, int *ret_cached, char **ret_error);

/* The URL a document is fetched from; malloc'd, NULL if there is no memory. */
char *attest_fetch_url(const struct attest_source *source, const struct attest_document_request *request);

#endif
