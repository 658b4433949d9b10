/* A counter in memory (memory_counter.h). */
#include "memory_counter.h"

#include <linux/errno.h>

uint64_t memory_counter_raise(struct counter *c, uint64_t expected, uint64_t value)
{
    uint64_t previous = c->value;
    if (value > previous && (c->raises_only || expected == VOLUME_ANCHOR_ANY || expected == previous)) {
        c->value = value;
        c->raises++;
    }
    return previous;
}

static int raise(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                 uint64_t *ret_previous)
{
    struct counter *c = arg;
    (void)key;
    if (c->hook)
        c->hook(c->hook_arg);
    if (c->down)
        return -EIO;
    *ret_previous = memory_counter_raise(c, expected, value);
    if (c->repeat_at > 0 && --c->repeat_at == 0)
        *ret_previous = memory_counter_raise(c, expected, value);
    return c->lose_answer ? -EIO : 0;
}

struct volume_anchor counter_anchor(struct counter *c)
{
    return (struct volume_anchor){c, raise, c->raises_only};
}
