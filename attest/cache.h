/*
 * Documents of collateral on disk, shared by any number of processes: a file each, replaced whole by rename(2), so a
 * reader needs no lock; one process fetches while others wait for it. Nothing in the folder is trusted: a file carries
 * the name of what it holds and a digest, against mix-ups and decay, and signatures are checked at each verification as
 * ever.
 */
#ifndef COFRE_ATTEST_CACHE_H
#define COFRE_ATTEST_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "attest/document.h"

struct attest_cache;

/* What one file holds besides the document: */
struct attest_cache_entry {
    struct attest_document document;
    int64_t fetched; /* seconds since 1970 */
};

/* Makes the folder (and those above it) if need be. NULL with *ret_error. */
struct attest_cache *attest_cache_open(const char *folder, char **ret_error);
void attest_cache_close(struct attest_cache *cache);

/* $XDG_CACHE_HOME/cofre/collateral, ~/.cache/..., or /var/cache/cofre/collateral for root; malloc'd, NULL: no memory.
 */
char *attest_cache_default_folder(void);

/*
 * Looks up what was put under a key (a URL). 1 with the entry; 0 if there is none; -1 with *ret_error naming the file
 * if it is damaged: the caller says so and fetches again. Age is the caller's to judge.
 */
int attest_cache_get(struct attest_cache *cache, const char *key, struct attest_cache_entry *ret_entry,
                     char **ret_error);

/* Puts a document, replacing what was there. A reader sees the old file or the new one. */
int attest_cache_put(struct attest_cache *cache, const char *key, const struct attest_document *document, int64_t now,
                     char **ret_error);

/*
 * Takes the key's lock, waiting at most timeout_ms: a descriptor to close, or -1 if it was not got (someone else
 * fetches for longer than that: fetch without it).
 */
int attest_cache_lock(struct attest_cache *cache, const char *key, long timeout_ms);

/* The parser of cache files, apart, for tests: -1 with *ret_error unless it holds a whole entry for the key. */
int attest_cache_parse(const char *text, size_t size, const char *key, struct attest_cache_entry *ret_entry,
                       char **ret_error);

#endif
