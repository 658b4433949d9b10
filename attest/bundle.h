/*
 * A bundle of collateral: one dated JSON file with all that is needed to verify the quotes of one platform, now or,
 * years later, as of the time it was made. Each document stands in it byte for byte as its signer signed it.
 */
#ifndef COFRE_ATTEST_BUNDLE_H
#define COFRE_ATTEST_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "attest/date.h"
#include "attest/document.h"
#include "attest/fetch.h"

#define ATTEST_BUNDLE_SIZE_MAX (4U << 20)

/* Whose collateral it is. */
struct attest_platform {
    enum attest_document_tee tee;
    enum attest_document_ca ca; /* that issued the PCK certificate */
    uint8_t fmspc[6];
};

struct attest_bundle {
    struct attest_platform platform;
    int64_t created; /* seconds since 1970; nobody vouches for it: documents carry their own dates, signed */
    char *source;    /* the service's URL */
    struct attest_document
        documents[ATTEST_DOCUMENT_KIND_COUNT]; /* data is NULL where there is none (PCK certificate) */
    bool cached[ATTEST_DOCUMENT_KIND_COUNT];   /* attest_bundle_fetch: it came out of the cache */
};

/*
 * Fetches all documents; the PCK certificate only if pck is not NULL (quotes usually bring theirs). 0, or -1 with
 * *ret_error naming the document and the URL.
 */
int attest_bundle_fetch(struct attest_source *source, const struct attest_platform *platform,
                        const struct attest_pck_request *pck, struct attest_bundle *ret_bundle, char **ret_error);

void attest_bundle_free(struct attest_bundle *bundle);

/* The file's text; malloc'd, NULL if there is no memory. */
char *attest_bundle_format(const struct attest_bundle *bundle);

/* 0, or -1 with *ret_error: unless it is a bundle and every document in it is for the platform it names. */
int attest_bundle_parse(const char *text, size_t size, struct attest_bundle *ret_bundle, char **ret_error);

/* From and to a file, which is replaced whole or not at all. */
int attest_bundle_load(const char *path, struct attest_bundle *ret_bundle, char **ret_error);
int attest_bundle_save(const struct attest_bundle *bundle, const char *path, char **ret_error);

/* The time span in which all documents hold: from the latest issue to the earliest nextUpdate, seconds since 1970. */
void attest_bundle_validity(const struct attest_bundle *bundle, int64_t *ret_from, int64_t *ret_until);

#endif
