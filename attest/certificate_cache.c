/* Certificates verified before. */
#include "attest/certificate_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct certificate_cache {
    pthread_mutex_t lock; /* guards what follows */
    size_t count, next;
    struct certificate certificates[CERTIFICATE_CACHE_COUNT];
};

struct certificate_cache *certificate_cache_new(void)
{
    struct certificate_cache *cache = calloc(1, sizeof(*cache));
    if (cache)
        pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void certificate_cache_free(struct certificate_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < cache->count; i++)
        certificate_free(&cache->certificates[i]);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static struct certificate *find(struct certificate_cache *cache, const uint8_t *der, size_t size)
{
    for (size_t i = 0; i < cache->count; i++)
        if (cache->certificates[i].size == size && memcmp(cache->certificates[i].der, der, size) == 0)
            return &cache->certificates[i];
    return NULL;
}

bool certificate_cache_get(struct certificate_cache *cache, const struct pem_item *item,
                           struct certificate *ret_certificate)
{
    pthread_mutex_lock(&cache->lock);
    const struct certificate *found = find(cache, item->der, item->size);
    bool got = found && certificate_copy(found, ret_certificate);
    pthread_mutex_unlock(&cache->lock);
    return got;
}

void certificate_cache_put(struct certificate_cache *cache, const struct certificate *certificate)
{
    struct certificate copy;
    if (!certificate_copy(certificate, &copy))
        return;
    pthread_mutex_lock(&cache->lock);
    if (find(cache, copy.der, copy.size)) { /* another thread was faster */
        certificate_free(&copy);
    } else {
        struct certificate *place = &cache->certificates[cache->next];
        if (cache->next < cache->count)
            certificate_free(place);
        else
            cache->count++;
        *place = copy;
        cache->next = (cache->next + 1) % CERTIFICATE_CACHE_COUNT;
    }
    pthread_mutex_unlock(&cache->lock);
}
