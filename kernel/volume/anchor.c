/*
 * Freshness (docs/VOLUME-FORMAT.md, "The anchor"). The disk first, the anchor after: a crash leaves a disk that knows
 * at least what the anchor does. Less than that is refused.
 */
#include "kernel/volume/internal.h"

#define LAG_RECORDS 256

static bool anchored(const struct volume *v)
{
    return v->options.freshness != VOLUME_FRESH_NONE && v->options.anchor;
}

/* v->sequence is the end of the log; slot is where it began. */
int vol_anchor_check(struct volume *v, const struct volume_checkpoint *slot, struct volume_anchor_value *ret_held)
{
    const struct volume_anchor *anchor = v->options.anchor;
    uint8_t identity[32];
    if (!anchored(v))
        return 0;
    int err = anchor->read(anchor->arg, v->header.uuid, ret_held);
    if (err < 0)
        return err;
    vol_epoch_identity(slot->epoch_salt, identity);
    if (memcmp(identity, ret_held->identity, sizeof(identity)) == 0 && v->sequence >= ret_held->sequence) {
        memcpy(v->acquired_identity, identity, sizeof(identity));
        v->acquired_sequence = v->sequence;
        return 0;
    }
    /* A mount that wrote its checkpoint, but never became the holder: what it adopted is still the newest. */
    if (memcmp(slot->acquired_identity, ret_held->identity, sizeof(identity)) == 0 &&
        slot->acquired_sequence >= ret_held->sequence) {
        memcpy(v->acquired_identity, slot->acquired_identity, sizeof(identity));
        v->acquired_sequence = slot->acquired_sequence;
        return 0;
    }
    if (!v->options.accept_rollback)
        return -ESTALE;
    memcpy(v->acquired_identity, ret_held->identity, sizeof(identity));
    v->acquired_sequence = ret_held->sequence;
    return 0;
}

int vol_anchor_acquire(struct volume *v, const struct volume_anchor_value *held)
{
    const struct volume_anchor *anchor = v->options.anchor;
    struct volume_anchor_value set = {.sequence = v->durable};
    if (!anchored(v))
        return 0;
    memcpy(set.identity, v->identity, sizeof(set.identity));
    int err = anchor->acquire(anchor->arg, v->header.uuid, held, &set);
    if (err < 0)
        return err == -ESTALE ? -EBUSY : err;
    memcpy(v->acquired_identity, v->identity, sizeof(v->identity));
    v->acquired_sequence = v->anchored = v->durable;
    return 0;
}

int volume_anchor(struct volume *v)
{
    const struct volume_anchor *anchor = v->options.anchor;
    struct volume_anchor_value value = {.sequence = v->durable};
    if (!anchored(v) || v->anchored == v->durable || v->options.read_only)
        return 0;
    memcpy(value.identity, v->identity, sizeof(value.identity));
    int err = anchor->advance(anchor->arg, v->header.uuid, &value);
    if (err == -ESTALE)
        vol_failed(v, err); /* another instance has it: not one write more */
    if (err == 0)
        v->anchored = value.sequence;
    return err;
}

int vol_anchor_committed(struct volume *v)
{
    unsigned lag = v->options.lag_records ? v->options.lag_records : LAG_RECORDS;
    if (v->options.freshness == VOLUME_FRESH_STRICT)
        return volume_anchor(v);
    return v->durable - v->anchored >= lag ? volume_anchor(v) : 0;
}
