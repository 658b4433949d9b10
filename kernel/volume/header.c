/* Rewriting the header. One good copy is on the disk at any time: a crash leaves the old one or the new one. */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

static int copy_write(struct volume *v, unsigned i, const struct volume_header *header)
{
    int err = v->io->write(v->io->arg, VOLUME_HEADER_BLOCK + i, 1, header, true);
    if (err < 0)
        vol_failed(v, err);
    return err;
}

/* Both copies become the one that counts, so that neither is needed while the other is written. */
static int copies_repair(struct volume *v)
{
    struct volume_header *copies = kmalloc(VOLUME_HEADER_COUNT * sizeof(*copies));
    int err = copies ? v->io->read(v->io->arg, VOLUME_HEADER_BLOCK, VOLUME_HEADER_COUNT, copies) : -ENOMEM;
    for (unsigned i = 0; err == 0 && i < VOLUME_HEADER_COUNT; i++)
        if (memcmp(&copies[i], &v->header, sizeof(copies[i])) != 0)
            err = copy_write(v, i, &v->header);
    kfree(copies);
    return err;
}

int vol_header_feature(struct volume *v, uint64_t incompat, const char *name)
{
    if ((v->header.features.incompat & incompat) == incompat)
        return 0;
    struct volume_header *header = kmalloc(sizeof(*header));
    int err = header ? copies_repair(v) : -ENOMEM;
    if (err == 0) {
        *header = v->header;
        vol_header_feature_set(header, incompat, name);
        header->generation++;
        vol_header_seal(header, &v->master);
    }
    for (unsigned i = 0; err == 0 && i < VOLUME_HEADER_COUNT; i++)
        err = copy_write(v, i, header);
    if (err == 0)
        v->header = *header;
    kfree(header);
    return err;
}
