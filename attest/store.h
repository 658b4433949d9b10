/*
 * Collateral for whatever quote comes: out of bundles, and of a service. It is parsed once for each kind of platform
 * and then serves any number of verifications in any number of threads.
 */
#ifndef COFRE_ATTEST_STORE_H
#define COFRE_ATTEST_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "attest/collateral.h"
#include "attest/fetch.h"
#include "attest/result.h"

#define ATTEST_STORE_PLATFORM_COUNT_MAX 256

struct attest_store;

/*
 * roots are copied; what source points to must outlive the store. source is NULL if nothing is to be fetched. NULL if
 * there is no memory.
 */
struct attest_store *attest_store_new(const struct attest_roots *roots, const struct attest_source_options *source);
void attest_store_free(struct attest_store *store);

/* Adds a bundle or another file of collateral that attest_collateral_load reads, for one platform each. */
int attest_store_add_file(struct attest_store *store, const char *path, char **ret_error);

/*
 * Fetches and adds the collateral of a quote that brings no PCK certificate (certification data of types 1 to 3), with
 * that certificate. For quotes that the caller chose: anyone can make one that is only found out by what is fetched, so
 * attest_store_verify does not do this by itself. Nothing to do for other quotes, or if nothing is to be fetched. 0, or
 * -1 with *ret_error.
 */
int attest_store_add_quote(struct attest_store *store, const void *quote, size_t size, char **ret_error);

/* The roots that it was made with. */
const struct attest_roots *attest_store_roots(const struct attest_store *store);

/*
 * Verifies a quote with the collateral of its platform, fetching it if need be: only for a quote that holds as far as
 * it can be checked without, so that nobody else can cause requests. As attest_verify_quote; a failure to get
 * collateral is the outcome INCOMPLETE with its reason. ret_until (may be NULL): until when a repeated verification
 * would come out the same.
 */
int attest_store_verify(struct attest_store *store, const void *quote, size_t size, int64_t time,
                        struct attest_result *ret_result, int64_t *ret_until);

#endif
