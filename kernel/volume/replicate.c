/* A tree, or the difference of two, as items (replica.h). */
#include "kernel/volume/replica.h"

#include "kernel/mm/kmalloc.h"
#include "kernel/volume/diff.h"

struct sender {
    replica_emit_fn emit;
    void *arg;
    struct replica_place hole; /* not emitted yet */
    bool used, contents; /* the inode whose blocks come: is one, and has contents (else the receiver drops them) */
    uint8_t data[VOLUME_BLOCK_SIZE];
};

static int emit(struct sender *s, enum replica_type type, const void *body, size_t size, const void *block)
{
    struct replica_item item = {.type = (uint32_t)type, .size = (uint32_t)(size + (block ? VOLUME_BLOCK_SIZE : 0))};
    return s->emit(s->arg, &item, body, block);
}

static int hole_emit(struct sender *s)
{
    struct replica_place hole = s->hole;
    s->hole.count = 0;
    return hole.count > 0 ? emit(s, REPLICA_HOLE, &hole, sizeof(hole), NULL) : 0;
}

static int hole_add(struct sender *s, const struct replica_place *place)
{
    struct replica_place *hole = &s->hole;
    if (hole->count > 0 && hole->ino == place->ino && hole->level == place->level &&
        hole->index + hole->count == place->index) {
        hole->count++;
        return 0;
    }
    int err = hole_emit(s);
    *hole = *place;
    return err;
}

static int inode_visit(struct vol_diff *d, uint64_t ino, const struct volume_inode *left,
                       const struct volume_inode *right)
{
    struct sender *s = d->arg;
    struct replica_inode body = {.ino = ino, .inode = *right};
    struct volume_inode *i = &body.inode;
    (void)left;
    memset(&i->xattr, 0, sizeof(i->xattr));
    if (i->inline_size == 0)
        memset(&i->root, 0, sizeof(i->root));
    i->height = 0;
    i->block_count = 0;
    s->used = right->mode != 0;
    s->contents = (S_ISREG(right->mode) || S_ISDIR(right->mode) || S_ISLNK(right->mode)) && right->inline_size == 0;
    int err = hole_emit(s);
    return err < 0 ? err : emit(s, REPLICA_INODE, &body, sizeof(body), NULL);
}

static int block_visit(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index,
                       const struct volume_pointer *left, const struct volume_pointer *right)
{
    struct sender *s = d->arg;
    struct replica_place place = {ino, level, index, 1};
    struct volume_block_aad aad = {ino, index, level};
    (void)left;
    if (ino == 0 || (level > 0 && level != VOLUME_LEVEL_XATTR) || !(level > 0 ? s->used : s->contents))
        return 0;
    if (right->where == 0)
        return hole_add(s, &place);
    int err = vol_pointer_read(d->v, right, &aad, s->data);
    if (err == 0)
        err = hole_emit(s);
    return err < 0 ? err : emit(s, REPLICA_BLOCK, &place, sizeof(place), s->data);
}

static const struct volume_snapshot *snapshot_get(const struct volume *v, const char *name)
{
    for (unsigned i = 0; i < v->snapshot_count; i++)
        if (strcmp(v->snapshots[i].name, name) == 0)
            return &v->snapshots[i];
    return NULL;
}

static void begin_fill(const struct volume *v, const struct volume_snapshot *from, const struct volume_snapshot *s,
                       struct replica_begin *b)
{
    *b = (struct replica_begin){.inode_next = s ? s->inode_next : v->inode_next,
                                .inode_free = s ? s->inode_free : v->inode_free,
                                .inode_orphan = s ? s->inode_orphan : v->inode_orphan,
                                .inode_count = s ? s->inode_count : v->inode_count,
                                .block_count = v->block_count,
                                .used_count = v->used_count};
    memcpy(b->hash_key, v->hash_key, sizeof(b->hash_key));
    if (from)
        memcpy(b->from_guid, from->guid, sizeof(b->from_guid));
    if (s) {
        memcpy(b->guid, s->guid, sizeof(b->guid));
        memcpy(b->name, s->name, sizeof(b->name));
        b->time = s->time;
    }
}

int volume_replicate(struct volume *v, const char *from, const char *snapshot, replica_emit_fn emit_fn, void *arg)
{
    const struct volume_snapshot *old = from ? snapshot_get(v, from) : NULL;
    const struct volume_snapshot *new = snapshot ? snapshot_get(v, snapshot) : NULL;
    struct replica_begin begin;
    if ((from && !old) || (snapshot && !new))
        return -ENOENT;
    if (from && (!new || old >= new))
        return -EINVAL;
    struct sender *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->emit = emit_fn;
    s->arg = arg;
    struct vol_diff d = {.v = v, .arg = s, .inode = inode_visit, .block = block_visit};
    struct volume_root left = old ? old->inodes : (struct volume_root){0},
                       right = new ? new->inodes : vol_tree_today(v);
    begin_fill(v, old, new, &begin);
    int err = emit(s, REPLICA_BEGIN, &begin, sizeof(begin), NULL);
    if (err == 0)
        err = vol_diff(&d, &left, &right);
    if (err == 0)
        err = hole_emit(s);
    if (err == 0)
        err = emit(s, REPLICA_END, NULL, 0, NULL);
    kfree(s);
    return err;
}
