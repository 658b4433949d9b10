/* Collateral for whatever quote comes. */
#include "attest/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/bundle.h"
#include "attest/collateral_parts.h"
#include "attest/platform.h"
#include "attest/verify.h"
#include "image/error.h"

/*
 * Entries are added in front and stay until the store is freed: readers walk the list without knowing of writers. One
 * that has expired is outdone by a newer one in front of it.
 */
struct entry {
    struct entry *next;
    bool any_platform; /* of a file that is not a bundle */
    struct attest_platform platform;
    struct attest_collateral *collateral;
    struct attest_validity validity;
    bool fetched;
};

struct attest_store {
    struct attest_roots roots;
    struct attest_source_options source;
    bool has_source;
    pthread_mutex_t lock; /* of what follows */
    struct entry *entries;
    size_t count;
};

struct attest_store *attest_store_new(const struct attest_roots *roots, const struct attest_source_options *source)
{
    struct attest_store *store = calloc(1, sizeof(*store));
    if (!store)
        return NULL;
    store->roots = *roots;
    if (source) {
        store->source = *source;
        store->has_source = true;
    }
    pthread_mutex_init(&store->lock, NULL);
    return store;
}

void attest_store_free(struct attest_store *store)
{
    if (!store)
        return;
    for (struct entry *entry = store->entries, *next; entry; entry = next) {
        next = entry->next;
        attest_collateral_free(entry->collateral);
        free(entry);
    }
    pthread_mutex_destroy(&store->lock);
    free(store);
}

const struct attest_roots *attest_store_roots(const struct attest_store *store)
{
    return &store->roots;
}

/* The newest entry from here on for a platform that is of use at a time: of a file always, fetched ones while they
 * hold. */
static const struct entry *find_from(const struct entry *entry, const struct attest_platform *platform, int64_t time)
{
    for (; entry; entry = entry->next) {
        const struct attest_platform *p = &entry->platform;
        bool same = p->tee == platform->tee && p->ca == platform->ca && memcmp(p->fmspc, platform->fmspc, 6) == 0;
        if ((same || entry->any_platform) && (!entry->fetched || time < entry->validity.until))
            return entry;
    }
    return NULL;
}

static const struct entry *find(struct attest_store *store, const struct attest_platform *platform, int64_t time)
{
    pthread_mutex_lock(&store->lock);
    const struct entry *entry = store->entries;
    pthread_mutex_unlock(&store->lock);
    return find_from(entry, platform, time);
}

/* Has it a PCK certificate for quotes that bring none? */
static bool has_pck(const struct entry *entry)
{
    return entry->collateral->pck_list.count > 0;
}

/* Takes the entry. What several threads fetched at once is kept once. */
static int add_entry(struct attest_store *store, struct entry *entry, char **ret_error)
{
    attest_collateral_validity(entry->collateral, &entry->validity);
    pthread_mutex_lock(&store->lock);
    bool known =
        entry->fetched && !has_pck(entry) && find_from(store->entries, &entry->platform, entry->validity.until - 1);
    bool full = store->count == ATTEST_STORE_PLATFORM_COUNT_MAX;
    bool kept = !known && !full;
    if (kept) {
        entry->next = store->entries;
        store->entries = entry;
        store->count++;
    }
    pthread_mutex_unlock(&store->lock);
    if (kept)
        return 0;
    attest_collateral_free(entry->collateral);
    free(entry);
    return known ? 0 : error_set(ret_error, "collateral of more than %d platforms", ATTEST_STORE_PLATFORM_COUNT_MAX);
}

static int add_bundle(struct attest_store *store, const struct attest_bundle *bundle, bool fetched, char **ret_error)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry || !(entry->collateral = attest_collateral_from_bundle(bundle, &store->roots))) {
        free(entry);
        return error_set(ret_error, "out of memory");
    }
    entry->platform = bundle->platform;
    entry->fetched = fetched;
    return add_entry(store, entry, ret_error);
}

static int add_other(struct attest_store *store, const char *path, char **ret_error)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return error_set(ret_error, "out of memory");
    entry->any_platform = true;
    entry->collateral = attest_collateral_load(path, &store->roots, ret_error);
    if (!entry->collateral) {
        free(entry);
        return -1;
    }
    return add_entry(store, entry, ret_error);
}

int attest_store_add_file(struct attest_store *store, const char *path, char **ret_error)
{
    struct attest_bundle bundle;
    char *error = NULL;
    if (attest_bundle_load(path, &bundle, &error) < 0) {
        free(error);
        return add_other(store, path, ret_error);
    }
    int result = add_bundle(store, &bundle, false, ret_error);
    attest_bundle_free(&bundle);
    return result;
}

static int platform_of(const void *quote, size_t size, struct attest_platform *platform, char **ret_error)
{
    struct attest_pck pck;
    enum attest_pck_ca ca;
    uint32_t tee;
    if (attest_quote_platform(quote, size, &pck, &ca, &tee, ret_error) < 0)
        return -1;
    platform->tee = tee == ATTEST_TEE_TDX ? ATTEST_DOCUMENT_TDX : ATTEST_DOCUMENT_SGX;
    platform->ca = ca == ATTEST_PCK_CA_PLATFORM ? ATTEST_DOCUMENT_CA_PLATFORM : ATTEST_DOCUMENT_CA_PROCESSOR;
    memcpy(platform->fmspc, pck.fmspc, sizeof(platform->fmspc));
    return 0;
}

static const struct entry *fetch(struct attest_store *store, const struct attest_platform *platform, int64_t time,
                                 char **ret_error)
{
    struct attest_bundle bundle;
    struct attest_source *source = attest_source_new(&store->source, ret_error);
    int result = source ? attest_bundle_fetch(source, platform, NULL, &bundle, ret_error) : -1;
    attest_source_free(source);
    if (result < 0)
        return NULL;
    result = add_bundle(store, &bundle, true, ret_error);
    attest_bundle_free(&bundle);
    const struct entry *entry = result == 0 ? find(store, platform, time) : NULL;
    if (result == 0 && !entry)
        error_set(ret_error, "the service handed out expired collateral");
    return entry;
}

static void no_collateral(struct attest_result *result, char *why)
{
    result->outcome = ATTEST_OUTCOME_INCOMPLETE;
    snprintf(result->reason, sizeof(result->reason), "no collateral: %s",
             why ? why : "none was given for this platform");
    free(why);
}

/* The earliest end of what the result rests on. */
static int64_t result_until(const struct attest_result *result)
{
    int64_t until = INT64_MAX;
    for (int i = 0; i < ATTEST_DATED_COUNT; i++)
        if (result->has_validity[i] && result->validity[i].until < until)
            until = result->validity[i].until;
    return until;
}

/* Certification data of types 1 to 3: a PCK certificate that was not handed over must be tried. */
static bool brings_no_pck(const void *quote, size_t size)
{
    struct attest_quote parsed;
    return attest_quote_parse(quote, size, &parsed, NULL) == 0 &&
           parsed.certification_type <= ATTEST_CERTIFICATION_PPID_RSA3072;
}

int attest_store_add_quote(struct attest_store *store, const void *quote, size_t size, char **ret_error)
{
    struct attest_platform_identity identity;
    struct attest_bundle bundle;
    if (!store->has_source || !brings_no_pck(quote, size))
        return 0;
    struct attest_source *source = attest_source_new(&store->source, ret_error);
    int result = source ? attest_platform_of_quote(quote, size, source, &identity, ret_error) : -1;
    if (result == 0)
        result = attest_bundle_fetch(source, &identity.platform, &identity.pck, &bundle, ret_error);
    attest_source_free(source);
    if (result < 0)
        return -1;
    result = add_bundle(store, &bundle, true, ret_error);
    attest_bundle_free(&bundle);
    return result;
}

/* With one PCK certificate after the other, until one is that of the quote. */
static int verify_unnamed(struct attest_store *store, const void *quote, size_t size, int64_t time,
                          struct attest_result *result)
{
    int status = attest_verify_quote(quote, size, NULL, &store->roots, time, result);
    if (result->outcome != ATTEST_OUTCOME_INCOMPLETE)
        return status;
    pthread_mutex_lock(&store->lock);
    const struct entry *entry = store->entries;
    pthread_mutex_unlock(&store->lock);
    bool tried = false;
    for (; entry; entry = entry->next) {
        if (!has_pck(entry))
            continue;
        tried = true;
        status = attest_verify_quote(quote, size, entry->collateral, NULL, time, result);
        if (result->outcome != ATTEST_OUTCOME_REJECTED)
            return status;
    }
    if (!tried)
        no_collateral(result, strdup("the quote has no PCK certificate; a bundle made for it has (`cofre collateral "
                                     "bundle --quote`)"));
    return status;
}

int attest_store_verify(struct attest_store *store, const void *quote, size_t size, int64_t time,
                        struct attest_result *ret_result, int64_t *ret_until)
{
    struct attest_platform platform;
    char *error = NULL;
    const struct entry *entry = NULL;
    bool unnamed = brings_no_pck(quote, size);
    if (!unnamed && platform_of(quote, size, &platform, NULL) == 0)
        entry = find(store, &platform, time);
    int result =
        unnamed ? verify_unnamed(store, quote, size, time, ret_result)
                : attest_verify_quote(quote, size, entry ? entry->collateral : NULL, &store->roots, time, ret_result);
    if (!unnamed && !entry && ret_result->outcome == ATTEST_OUTCOME_INCOMPLETE) {
        if (store->has_source && platform_of(quote, size, &platform, &error) == 0)
            entry = fetch(store, &platform, time, &error);
        if (entry)
            result = attest_verify_quote(quote, size, entry->collateral, NULL, time, ret_result);
        else
            no_collateral(ret_result, error);
    }
    if (ret_until)
        *ret_until = result_until(ret_result);
    return result;
}
