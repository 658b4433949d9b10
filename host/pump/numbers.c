/* Odd channel numbers, which all pumps of a container give out: who has which. */
#include "host/pump/internal.h"

#include <errno.h>
#include <sys/mman.h>

#define KEEP 64 /* free ones that a pump keeps: their rings are in memory, perhaps in the cache */

int numbers_new(struct pump *p)
{
    size_t size = sizeof(*p->numbers) + p->channel_count * sizeof(p->numbers->owner[0]);
    void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (m == MAP_FAILED)
        return -errno;
    p->numbers = m;
    atomic_store(&p->numbers->next, CHANNEL_FIRST_SOCKET);
    return 0;
}

bool number_is_of(const struct pump *p, uint32_t number, uint32_t member)
{
    return atomic_load_explicit(&p->numbers->owner[number], memory_order_acquire) == member + 1;
}

void number_become(struct pump *p, uint32_t number, uint32_t member)
{
    atomic_store_explicit(&p->numbers->owner[number], (uint16_t)(member + 1), memory_order_release);
}

static uint32_t claim(struct pump *p, uint32_t from, uint32_t to)
{
    for (uint32_t n = from; n < to; n += 2) {
        uint16_t nobody = 0;

        if (atomic_load_explicit(&p->numbers->owner[n], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&p->numbers->owner[n], &nobody, (uint16_t)(p->member + 1))) {
            atomic_store(&p->numbers->next, n + 2);
            return n;
        }
    }
    return 0;
}

static void put_back(struct pump *p, uint32_t number)
{
    atomic_store_explicit(&p->numbers->owner[number], 0, memory_order_release);
    if (number < atomic_load(&p->numbers->next))
        atomic_store(&p->numbers->next, number);
}

bool odd_any(struct pump *p)
{
    uint32_t next = atomic_load(&p->numbers->next), number;

    if (p->odd_head != p->odd_tail)
        return true;
    atomic_store(&p->numbers->had[p->member], 1);
    number = claim(p, next, p->channel_count);
    if (number == 0)
        number = claim(p, CHANNEL_FIRST_SOCKET, next < p->channel_count ? next : p->channel_count);
    if (number == 0)
        return false;
    p->odd_free[p->odd_head++ & (p->channel_count - 1)] = number;
    return true;
}

uint32_t odd_get(struct pump *p)
{
    return odd_any(p) ? p->odd_free[--p->odd_head & (p->channel_count - 1)] : 0;
}

static bool in_queue(const struct pump *p, uint32_t number)
{
    const struct channel *s = &p->channels[number];

    return __atomic_load_n(&s->ready_queued, __ATOMIC_ACQUIRE) || __atomic_load_n(&s->dirty_queued, __ATOMIC_ACQUIRE);
}

void odd_put(struct pump *p, uint32_t number)
{
    uint32_t oldest;

    p->odd_free[p->odd_head++ & (p->channel_count - 1)] = number;
    oldest = p->odd_free[p->odd_tail & (p->channel_count - 1)];
    if (p->odd_head - p->odd_tail > KEEP && !in_queue(p, oldest)) {
        p->odd_tail++;
        put_back(p, oldest);
    }
}

void numbers_reclaim(struct pump *p, uint32_t member)
{
    for (uint32_t n = CHANNEL_FIRST_SOCKET; n < p->channel_count; n += 2) {
        if (!number_is_of(p, n, member))
            continue;
        p->channels[n].ready_queued = p->channels[n].dirty_queued = 0; /* of queues that are gone */
        madvise(p->rings + (uint64_t)n * 2 * p->ring_size, 2UL * p->ring_size, MADV_REMOVE);
        put_back(p, n);
    }
    atomic_store(&p->numbers->had[member], 0);
}
