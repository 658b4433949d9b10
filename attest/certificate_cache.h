/*
 * PCK certificates that were verified before, under one CA. Decoding a certificate's key takes libcrypto longer than
 * verifying a signature; quotes of one machine all bring the same certificate. Any number of threads.
 */
#ifndef COFRE_ATTEST_CERTIFICATE_CACHE_H
#define COFRE_ATTEST_CERTIFICATE_CACHE_H

#include "attest/certificate.h"

#define CERTIFICATE_CACHE_COUNT 64

struct certificate_cache;

struct certificate_cache *certificate_cache_new(void); /* NULL: no memory */
void certificate_cache_free(struct certificate_cache *cache);

/* A copy of the certificate with exactly these bytes; false if there is none. */
bool certificate_cache_get(struct certificate_cache *cache, const struct pem_item *item,
                           struct certificate *ret_certificate);
/* Keeps a copy, in the place of the oldest if it is full. */
void certificate_cache_put(struct certificate_cache *cache, const struct certificate *certificate);

#endif
