/* Which platform's collateral a quote needs, asking a service if the quote does not say it itself. */
#ifndef COFRE_ATTEST_PLATFORM_H
#define COFRE_ATTEST_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

#include "attest/bundle.h"
#include "attest/fetch.h"

/* A platform, and what its PCK certificate is asked by if quotes do not bring it. */
struct attest_platform_identity {
    struct attest_platform platform;
    bool needs_pck;
    struct attest_pck_request pck; /* its pointers lead into the quote */
};

/*
 * From the PCK certificate in the quote; or, for certification data of types 1 to 3, from the one that the service has
 * for it (then source must not be NULL). Nothing of it is verified: a lie leads to collateral that then does not fit.
 * 0, or -1 with *ret_error.
 */
int attest_platform_of_quote(const void *quote, size_t size, struct attest_source *source,
                             struct attest_platform_identity *ret_identity, char **ret_error);

#endif
