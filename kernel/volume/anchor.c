/*
 * Freshness (docs/VOLUME-FORMAT.md, "The anchor"). The disk first, the anchor after: a crash leaves a disk that knows
 * at least what the anchor does. Less than that is refused.
 *
 * The anchor is one counter. An epoch that begins draws a base far above it, writes that down, and swaps the counter
 * from what it read to the base and how far its log is durable, and raises it from then on as the log grows. The base
 * says whose value it is, since nobody else draws the same.
 *
 * A counter that can only be raised is not swapped but raised to just below the base, a value that stands for nothing
 * but the attempt. If it was then what had been read, nobody has come between, and it is raised on. If not, a holder
 * was overtaken whose last records this disk may lack: whoever finds the counter there, also after a crash that took
 * the answer along, stops.
 */
#include "kernel/volume/internal.h"

#define LAG_RECORDS 256
/* Bases are between these apart: one epoch cannot make so many records, and 65,535 epochs fit. */
#define GAP_MIN (1ULL << 40)
#define GAP_MASK ((1ULL << 48) - 1)

static bool anchored(const struct volume *v)
{
    return v->options.freshness != VOLUME_FRESH_NONE && v->options.anchor;
}

static struct volume_anchor_key anchor_key(const struct volume *v)
{
    struct volume_anchor_key key;
    memcpy(key.uuid, v->header.uuid, sizeof(key.uuid));
    memcpy(key.secret, v->anchor_secret, sizeof(key.secret));
    return key;
}

static int anchor_raise(const struct volume *v, uint64_t expected, uint64_t value, uint64_t *ret_previous)
{
    const struct volume_anchor *anchor = v->options.anchor;
    struct volume_anchor_key key = anchor_key(v);
    return anchor->raise(anchor->arg, &key, expected, value, ret_previous);
}

static bool within(uint64_t value, uint64_t base, uint64_t sequence)
{
    return value >= base && value - base <= sequence;
}

/* v->sequence is the end of the log; slot is where it began. */
int vol_anchor_check(struct volume *v, const struct volume_checkpoint *slot, uint64_t *ret_held)
{
    uint64_t held;
    if (!anchored(v)) { /* a tool's mount: what it writes follows from the state that it found */
        if (slot->anchor_base != 0) {
            v->acquired_base = slot->anchor_base;
            v->acquired_sequence = v->sequence;
        }
        return 0;
    }
    int err = anchor_raise(v, VOLUME_ANCHOR_ANY, 0, &held);
    if (err < 0)
        return err;
    *ret_held = held;
    if (slot->anchor_base != 0 && within(held, slot->anchor_base, v->sequence)) {
        v->acquired_base = slot->anchor_base;
        v->acquired_sequence = v->sequence;
        return 0;
    }
    if (v->options.anchor->raises_only && held == slot->anchor_base - 1 && !v->options.accept_rollback)
        return -EOWNERDEAD;
    /* A mount that wrote its checkpoint, but never became the holder: what it adopted is still the newest. */
    if (v->sequence == slot->sequence && within(held, slot->acquired_base, slot->acquired_sequence))
        return 0;
    if (!v->options.accept_rollback)
        return -ESTALE;
    v->acquired_base = held;
    v->acquired_sequence = 0;
    return 0;
}

void vol_anchor_prepare(struct volume *v, uint64_t held)
{
    uint64_t gap;
    v->anchor_base = 0;
    if (!anchored(v))
        return;
    do
        v->io->random(v->io->arg, &gap, sizeof(gap));
    while ((gap & GAP_MASK) < GAP_MIN);
    v->anchor_base = held + (gap & GAP_MASK);
}

/* From `held` to just below the base. If the counter is there already an answer was lost, and with it what it was. */
static int overtake(struct volume *v, uint64_t held)
{
    uint64_t claim = v->anchor_base - 1, previous;
    int err = anchor_raise(v, VOLUME_ANCHOR_ANY, claim, &previous);
    if (err < 0 || previous == held)
        return err;
    return previous == claim ? -EOWNERDEAD : -EBUSY;
}

int vol_anchor_acquire(struct volume *v, uint64_t held)
{
    uint64_t previous;
    if (!anchored(v))
        return 0;
    if (v->anchor_base < held || v->anchor_base > UINT64_MAX - 2 * GAP_MASK)
        return -EOVERFLOW;
    bool raises_only = v->options.anchor->raises_only;
    uint64_t from = raises_only ? v->anchor_base - 1 : held, value = v->anchor_base + v->durable;
    int err = raises_only ? overtake(v, held) : 0;
    if (err == 0)
        err = anchor_raise(v, raises_only ? VOLUME_ANCHOR_ANY : from, value, &previous);
    if (err < 0)
        return err;
    /* What it was to become: it was raised from there, and the answer to that got lost. */
    if (previous != from && previous != value)
        return -EBUSY;
    v->acquired_base = v->anchor_base;
    v->acquired_sequence = v->anchored = v->anchor_asked = v->durable;
    return 0;
}

bool volume_anchor_next(struct volume *v, struct volume_anchor_step *ret_step)
{
    if (!anchored(v) || v->failed == -ESTALE || v->anchored == v->durable || v->durable >= GAP_MIN ||
        v->options.read_only)
        return false;
    *ret_step =
        (struct volume_anchor_step){.key = anchor_key(v), .value = v->anchor_base + v->durable, .sequence = v->durable};
    v->anchor_asked = v->durable;
    return true;
}

int volume_anchor_done(struct volume *v, const struct volume_anchor_step *step, uint64_t previous)
{
    /* More than this epoch asked for: another instance has it, not one write more. Less than it was told: so does
     * whoever set the counter back. */
    if (!within(previous, v->anchor_base + v->anchored, v->anchor_asked - v->anchored)) {
        vol_failed(v, -ESTALE);
        return -ESTALE;
    }
    v->anchored = step->sequence;
    return 0;
}

int volume_anchor(struct volume *v)
{
    struct volume_anchor_step step;
    uint64_t previous;
    if (v->failed)
        return v->failed;
    if (!volume_anchor_next(v, &step))
        return 0;
    int err = anchor_raise(v, VOLUME_ANCHOR_ANY, step.value, &previous);
    return err < 0 ? err : volume_anchor_done(v, &step, previous);
}

uint64_t volume_durable(const struct volume *v)
{
    return v->durable;
}

uint64_t volume_anchored(const struct volume *v)
{
    return v->anchored;
}

int vol_anchor_committed(struct volume *v)
{
    unsigned lag = v->options.lag_records ? v->options.lag_records : LAG_RECORDS;
    switch (v->options.freshness) {
    case VOLUME_FRESH_STRICT:
        return volume_anchor(v);
    case VOLUME_FRESH_LAG:
        return v->durable - v->anchored >= lag ? volume_anchor(v) : 0;
    default:
        return 0;
    }
}
