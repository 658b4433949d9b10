/* What forked children touch (contract in touched.h). */
#include "kernel/mm/touched.h"

#include "kernel/lib/string.h"

#define FORKS_MAX 64 /* that one guess serves */

static bool noting;
static uint32_t noted[TOUCHED_MAX];
static size_t noted_count;

static uint32_t wanted[TOUCHED_MAX]; /* in order */
static size_t wanted_count, forks;

void touched_start(void)
{
    noting = true;
    noted_count = 0;
}

void touched_note(uaddr_t page)
{
    if (noting && noted_count < TOUCHED_MAX)
        noted[noted_count++] = (uint32_t)(page >> PAGE_SHIFT);
}

void touched_stop(void)
{
    noting = false;
}

size_t touched_take(uint32_t ret_pages[TOUCHED_MAX])
{
    size_t count = noted_count;

    memcpy(ret_pages, noted, count * sizeof *noted);
    noting = false;
    noted_count = 0;
    return count;
}

static bool is_wanted(uint32_t page)
{
    size_t at = LOWER_BOUND(wanted, wanted_count, page);

    return at < wanted_count && wanted[at] == page;
}

void touched_want(const uint32_t *pages, size_t count)
{
    for (size_t i = 0; i < count && wanted_count < TOUCHED_MAX; i++) {
        size_t at = LOWER_BOUND(wanted, wanted_count, pages[i]);

        if (at < wanted_count && wanted[at] == pages[i])
            continue;
        memmove(&wanted[at + 1], &wanted[at], (wanted_count - at) * sizeof *wanted);
        wanted[at] = pages[i];
        wanted_count++;
    }
}

/* A page between two is sent with them: one piece costs less than two. */
bool touched_wanted(uaddr_t page)
{
    uint32_t number = (uint32_t)(page >> PAGE_SHIFT);

    return wanted_count > 0 && (is_wanted(number) || (is_wanted(number - 1) && is_wanted(number + 1)));
}

void touched_age(void)
{
    if (++forks >= FORKS_MAX)
        touched_forget();
}

void touched_forget(void)
{
    wanted_count = 0;
    forks = 0;
}
