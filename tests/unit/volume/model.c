/* The model and its random operations (contract in model.h). */
#include "model.h"

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk.h"
#include "kernel/lib/string.h"

#define NAMES "abcdef"
char model_trace[256];

static void bytes_set(struct model_bytes *b, const void *data, size_t size)
{
    free(b->data);
    b->data = malloc(size + 1);
    memcpy(b->data, data, size);
    b->size = size;
}

static void bytes_resize(struct model_bytes *b, size_t size)
{
    b->data = realloc(b->data, size + 1);
    if (size > b->size)
        memset(b->data + b->size, 0, size - b->size);
    b->size = size;
}

void model_init(struct model *m)
{
    memset(m, 0, sizeof(*m));
    m->nodes[0] = (struct model_node){.used = true, .mode = S_IFDIR | 0755, .nlink = 2, .ino = VOLUME_ROOT_INO};
}

static void node_clear(struct model_node *n)
{
    free(n->live.data);
    free(n->durable.data);
    for (int i = 0; i < MODEL_XATTRS; i++)
        free(n->xattrs[i].data);
    memset(n, 0, sizeof(*n));
}

void model_deinit(struct model *m)
{
    for (int i = 0; i < MODEL_NODES; i++)
        node_clear(&m->nodes[i]);
}

static void bytes_copy(struct model_bytes *ret_copy, const struct model_bytes *b)
{
    *ret_copy = (struct model_bytes){0};
    if (b->data)
        bytes_set(ret_copy, b->data, b->size);
}

void model_copy(struct model *ret_copy, const struct model *m)
{
    *ret_copy = *m;
    for (int i = 0; i < MODEL_NODES; i++) {
        const struct model_node *from = &m->nodes[i];
        struct model_node *to = &ret_copy->nodes[i];
        bytes_copy(&to->live, &from->live);
        bytes_copy(&to->durable, &from->durable);
        for (int x = 0; x < MODEL_XATTRS; x++)
            bytes_copy(&to->xattrs[x], &from->xattrs[x]);
    }
}

static void node_commit(struct model_node *n)
{
    if (n->used && S_ISREG(n->mode))
        bytes_set(&n->durable, n->live.data ? (void *)n->live.data : "", n->live.size);
    n->along = false;
}

void model_commit(struct model *m, int node)
{
    for (int i = 0; i < MODEL_NODES; i++)
        if (node == -1 || i == node || m->nodes[i].along)
            node_commit(&m->nodes[i]);
}

/* The canonical text. */
static uint64_t hash_bytes(const void *data, size_t size)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3ULL;
    return h;
}

struct text {
    char *data;
    size_t size, room;
};

static void text_add(struct text *t, const char *format, ...) printf_like(2, 3);
static void text_add(struct text *t, const char *format, ...)
{
    va_list args;
    if (t->room - t->size < 1024) {
        t->room = 2 * t->room + 4096;
        t->data = realloc(t->data, t->room);
    }
    va_start(args, format);
    t->size += (size_t)vsnprintf(t->data + t->size, t->room - t->size, format, args);
    va_end(args);
}

static void text_model(struct text *t, const struct model *m, int at, const char *path, bool durable)
{
    const struct model_node *n = &m->nodes[at];
    text_add(t, "%s %o uid %u links %u", path, n->mode, n->uid, n->nlink);
    if (!S_ISDIR(n->mode)) {
        const struct model_bytes *b = durable && S_ISREG(n->mode) ? &n->durable : &n->live;
        text_add(t, " size %zu hash %016lx", b->size, (unsigned long)hash_bytes(b->data, b->size));
    }
    for (int i = 0; i < MODEL_XATTRS; i++)
        if (n->xattrs[i].data)
            text_add(t, " x%d=%016lx", i, (unsigned long)hash_bytes(n->xattrs[i].data, n->xattrs[i].size));
    text_add(t, "\n");
    for (const char *c = NAMES; S_ISDIR(n->mode) && *c; c++)
        for (int i = 1; i < MODEL_NODES; i++)
            if (n->names[i][0] == *c || n->names[i][1] == *c) {
                char child[1024];
                snprintf(child, sizeof(child), "%.1000s/%c", path, *c);
                text_model(t, m, i, child, durable);
            }
}

char *model_text(const struct model *m, bool durable)
{
    struct text t = {0};
    text_model(&t, m, 0, "", durable);
    return t.data;
}

static void text_contents(struct text *t, struct volume_node *node)
{
    const struct volume_inode *i = volume_node_inode(node);
    uint8_t *data = malloc(i->size + 1);
    ssize_t got = S_ISREG(i->mode) ? volume_read(node, 0, data, i->size) : volume_readlink(node, (char *)data, i->size);
    if (got != (ssize_t)i->size)
        text_add(t, " read gives %ld", (long)got);
    else
        text_add(t, " size %zu hash %016lx", (size_t)i->size, (unsigned long)hash_bytes(data, i->size));
    free(data);
}

static void text_node(struct text *t, struct volume *v, struct volume_node *node, const char *path, unsigned depth)
{
    const struct volume_inode *i = volume_node_inode(node);
    text_add(t, "%s %o uid %u links %u", path, i->mode, i->uid, i->nlink);
    if (S_ISREG(i->mode) || S_ISLNK(i->mode))
        text_contents(t, node);
    else if (!S_ISDIR(i->mode))
        text_add(t, " size %zu hash %016lx", (size_t)0, (unsigned long)hash_bytes(NULL, 0));
    for (int x = 0; x < MODEL_XATTRS; x++) {
        char name[24];
        uint8_t value[4096];
        snprintf(name, sizeof(name), "user.%d", x);
        ssize_t size = volume_getxattr(node, name, value, sizeof(value));
        if (size >= 0)
            text_add(t, " x%d=%016lx", x, (unsigned long)hash_bytes(value, (size_t)size));
        else if (size != -ENODATA)
            text_add(t, " xattr gives %ld", (long)size);
    }
    text_add(t, "\n");
    for (const char *c = NAMES; S_ISDIR(i->mode) && *c && depth < 20; c++) {
        struct volume_node *child;
        char child_path[1024];
        int err = volume_lookup(node, c, 1, &child);
        snprintf(child_path, sizeof(child_path), "%.1000s/%c", path, *c);
        if (err == 0) {
            text_node(t, v, child, child_path, depth + 1);
            volume_node_put(child);
        } else if (err != -ENOENT) {
            text_add(t, "%s lookup gives %d\n", child_path, err);
        }
    }
}

char *volume_text(struct volume *v)
{
    struct text t = {0};
    struct volume_node *root;
    int err = volume_node_get(v, VOLUME_ROOT_INO, &root);
    if (err < 0) {
        text_add(&t, "root gives %d\n", err);
        return t.data;
    }
    text_node(&t, v, root, "", 0);
    volume_node_put(root);
    return t.data;
}

/* Choosing: at random, or as a script says. */
static const unsigned *script;
static unsigned script_left;

static unsigned pick(unsigned n)
{
    if (!script)
        return (unsigned)(disk_random() % n);
    return script_left > 0 ? script_left--, *script++ % n : 0;
}

static int pick_dir(const struct model *m)
{
    for (int tries = 0; tries < 20; tries++) {
        int i = (int)pick(MODEL_NODES);
        if (m->nodes[i].used && S_ISDIR(m->nodes[i].mode))
            return i;
    }
    return 0;
}

/* A regular file that has a name, or 0. */
static int pick_file(const struct model *m)
{
    for (int tries = 0; tries < 60; tries++) {
        int i = (int)pick(MODEL_NODES);
        if (m->nodes[i].used && S_ISREG(m->nodes[i].mode))
            return i;
    }
    return 0;
}

static int find(const struct model *m, int dir, char name)
{
    for (int i = 1; i < MODEL_NODES; i++)
        if (m->nodes[dir].names[i][0] == name || m->nodes[dir].names[i][1] == name)
            return i;
    return 0;
}

static bool name_add(struct model *m, int dir, int node, char name)
{
    char *names = m->nodes[dir].names[node];
    char *at = names[0] == 0 ? &names[0] : names[1] == 0 ? &names[1] : NULL;
    if (at)
        *at = name;
    return at != NULL;
}

static void name_remove(struct model *m, int dir, int node, char name)
{
    char *names = m->nodes[dir].names[node];
    names[names[0] == name ? 0 : 1] = 0;
}

static bool is_empty(const struct model *m, int dir)
{
    for (int i = 1; i < MODEL_NODES; i++)
        if (m->nodes[dir].names[i][0] || m->nodes[dir].names[i][1])
            return false;
    return true;
}

static int free_node(const struct model *m)
{
    for (int i = 1; i < MODEL_NODES; i++)
        if (!m->nodes[i].used)
            return i;
    return 0;
}

static struct volume_node *get(struct model *m, struct volume *v, int at)
{
    struct volume_node *node = NULL;
    int err = volume_node_get(v, m->nodes[at].ino, &node);
    if (err == -ENOMEM || err == -EIO) /* which the test made it say, once */
        err = volume_node_get(v, m->nodes[at].ino, &node);
    if (err < 0) {
        fprintf(stderr, "inode %lu gives %d\n", (unsigned long)m->nodes[at].ino, err);
        abort();
    }
    return node;
}

static bool result_is(int got, int expected)
{
    if (got == -ENOSPC || got == -ENOMEM || got == -EIO)
        return false; /* the caller's concern: nothing happened */
    if (got != expected) {
        fprintf(stderr, "%s gives %d, not %d\n", model_trace, got, expected);
        abort();
    }
    return got == 0;
}

static void link_drop(struct model *m, int node)
{
    struct model_node *n = &m->nodes[node];
    n->nlink = S_ISDIR(n->mode) ? 0 : n->nlink - 1;
    if (n->nlink == 0)
        node_clear(n);
}

static void step_create(struct model *m, struct volume *v)
{
    static const uint32_t modes[] = {S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0600};
    int dir = pick_dir(m), at = free_node(m), exists;
    char name = NAMES[pick(sizeof(NAMES) - 1)], target[4096];
    uint32_t mode = modes[pick(5)];
    unsigned size = 1 + pick(pick(4) == 0 ? 4000 : 40);
    struct volume_node *parent, *node = NULL;
    if (!at)
        return;
    exists = find(m, dir, name);
    memset(target, 'a' + (int)pick(26), size);
    snprintf(model_trace, sizeof(model_trace), "create %d/%c mode %o as %d", dir, name, mode, at);
    parent = get(m, v, dir);
    int err = S_ISLNK(mode) ? volume_symlink(parent, &name, 1, target, size, (struct volume_owner){7, 8}, &node)
                            : volume_create(parent, &name, 1, mode, 0, (struct volume_owner){7, 8}, &node);
    if (result_is(err, exists ? -EEXIST : 0)) {
        struct model_node *n = &m->nodes[at];
        *n = (struct model_node){.used = true,
                                 .mode = mode,
                                 .uid = 7,
                                 .nlink = S_ISDIR(mode) ? 2 : 1,
                                 .parent = dir,
                                 .ino = volume_node_ino(node)};
        if (S_ISLNK(mode))
            bytes_set(&n->live, target, size);
        name_add(m, dir, at, name);
        m->nodes[dir].nlink += S_ISDIR(mode);
        volume_node_put(node);
    }
    volume_node_put(parent);
}

static void step_link(struct model *m, struct volume *v)
{
    int dir = pick_dir(m), at = pick_file(m);
    char name = NAMES[pick(sizeof(NAMES) - 1)];
    if (!at || (m->nodes[dir].names[at][0] && m->nodes[dir].names[at][1]))
        return;
    struct volume_node *parent = get(m, v, dir), *node = get(m, v, at);
    snprintf(model_trace, sizeof(model_trace), "link %d/%c to %d", dir, name, at);
    if (result_is(volume_link(parent, &name, 1, node), find(m, dir, name) ? -EEXIST : 0)) {
        name_add(m, dir, at, name);
        m->nodes[at].nlink++;
    }
    volume_node_put(node);
    volume_node_put(parent);
}

static void step_unlink(struct model *m, struct volume *v)
{
    int dir = pick_dir(m), at;
    char name = NAMES[pick(sizeof(NAMES) - 1)];
    at = find(m, dir, name);
    bool directory = at && S_ISDIR(m->nodes[at].mode);
    int expected = !at ? -ENOENT : directory && !is_empty(m, at) ? -ENOTEMPTY : 0;
    struct volume_node *parent = get(m, v, dir);
    snprintf(model_trace, sizeof(model_trace), "unlink %d/%c (%d)", dir, name, at);
    int err = directory ? volume_rmdir(parent, &name, 1) : volume_unlink(parent, &name, 1);
    if (result_is(err, expected)) {
        name_remove(m, dir, at, name);
        m->nodes[dir].nlink -= directory;
        link_drop(m, at);
    }
    volume_node_put(parent);
}

static bool is_above(const struct model *m, int node, int dir)
{
    for (;; dir = m->nodes[dir].parent) {
        if (dir == node)
            return true;
        if (dir == 0)
            return false;
    }
}

static int rename_expect(const struct model *m, int from, int at, int to, int victim, unsigned flags)
{
    bool directory = at && S_ISDIR(m->nodes[at].mode), exchange = flags & RENAME_EXCHANGE;
    if (!at)
        return -ENOENT;
    if (at == victim)
        return flags & RENAME_NOREPLACE ? -EEXIST : 0;
    if (directory && is_above(m, at, to))
        return -EINVAL;
    if (!victim)
        return exchange ? -ENOENT : 0;
    if (flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (exchange)
        return S_ISDIR(m->nodes[victim].mode) && is_above(m, victim, from) ? -EINVAL : 0;
    if (directory != S_ISDIR(m->nodes[victim].mode))
        return directory ? -ENOTDIR : -EISDIR;
    return directory && !is_empty(m, victim) ? -ENOTEMPTY : 0;
}

static void reparent(struct model *m, int node, int from, int to)
{
    if (!S_ISDIR(m->nodes[node].mode))
        return;
    m->nodes[node].parent = to;
    m->nodes[from].nlink--;
    m->nodes[to].nlink++;
}

static void step_rename(struct model *m, struct volume *v)
{
    static const unsigned all_flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    int from = pick_dir(m), to = pick_dir(m);
    char old_name = NAMES[pick(sizeof(NAMES) - 1)], new_name = NAMES[pick(sizeof(NAMES) - 1)];
    unsigned flags = all_flags[pick(5)];
    int at = find(m, from, old_name), victim = find(m, to, new_name);
    int expected = rename_expect(m, from, at, to, victim, flags);
    if (at && m->nodes[to].names[at][0] && m->nodes[to].names[at][1])
        return; /* more names than the model has room for */
    if (victim && flags & RENAME_EXCHANGE && m->nodes[from].names[victim][0] && m->nodes[from].names[victim][1])
        return;
    struct volume_node *old_dir = get(m, v, from), *new_dir = get(m, v, to);
    snprintf(model_trace, sizeof(model_trace), "rename %d/%c (%d) to %d/%c (%d) flags %u", from, old_name, at, to,
             new_name, victim, flags);
    int err = volume_rename(old_dir, &old_name, 1, new_dir, &new_name, 1, flags, (struct volume_owner){0, 0});
    if (result_is(err, expected) && at != victim) {
        name_remove(m, from, at, old_name);
        if (victim)
            name_remove(m, to, victim, new_name);
        name_add(m, to, at, new_name);
        reparent(m, at, from, to);
        if (flags & RENAME_EXCHANGE) {
            name_add(m, from, victim, old_name);
            reparent(m, victim, to, from);
        } else if (victim) {
            m->nodes[to].nlink -= S_ISDIR(m->nodes[victim].mode);
            link_drop(m, victim);
            m->nodes[at].along = S_ISREG(m->nodes[at].mode);
        }
    }
    volume_node_put(new_dir);
    volume_node_put(old_dir);
}

static void step_write(struct model *m, struct volume *v)
{
    static uint8_t data[64 * 1024];
    int at = pick_file(m);
    if (!at)
        return;
    struct model_bytes *live = &m->nodes[at].live;
    size_t size = 1 + pick(pick(3) == 0 ? sizeof(data) : pick(2) ? 5000 : 100);
    size_t offset = pick(2) ? live->size : pick(MODEL_FILE_MAX / (pick(3) ? 16 : 1));
    size = offset + size > MODEL_FILE_MAX ? 1 : size;
    offset = offset >= MODEL_FILE_MAX ? 0 : offset;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t r = disk_random();
        memcpy(data + i, &r, MIN(size - i, sizeof(r)));
    }
    struct volume_node *node = get(m, v, at);
    snprintf(model_trace, sizeof(model_trace), "write %d at %zu size %zu", at, offset, size);
    ssize_t done = volume_write(node, offset, data, size);
    if (done > 0) {
        if (offset + (size_t)done > live->size)
            bytes_resize(live, offset + (size_t)done);
        memcpy(live->data + offset, data, (size_t)done);
    } else {
        result_is((int)done, 0);
    }
    volume_node_put(node);
}

static void zero(struct model_bytes *b, size_t offset, size_t size)
{
    if (offset < b->size)
        memset(b->data + offset, 0, MIN(size, b->size - offset));
}

static void step_cut(struct model *m, struct volume *v)
{
    int at = pick_file(m);
    if (!at)
        return;
    struct model_node *n = &m->nodes[at];
    struct volume_node *node = get(m, v, at);
    size_t offset = pick(pick(4) == 0 ? MODEL_FILE_MAX : (unsigned)n->live.size + 1), size = 1 + pick(60000);
    if (pick(2)) {
        offset = pick(3) == 0 ? offset / 4096 * 4096 : offset;
        snprintf(model_trace, sizeof(model_trace), "truncate %d to %zu", at, offset);
        int err = volume_truncate(node, offset); /* part of it may have happened */
        if (result_is(err == -ENOMEM ? volume_truncate(node, offset) : err, 0)) {
            bytes_resize(&n->live, offset);
            bytes_resize(&n->durable, offset);
        }
    } else {
        snprintf(model_trace, sizeof(model_trace), "punch %d at %zu size %zu", at, offset, size);
        int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        int err = volume_fallocate(node, mode, offset, size);
        if (result_is(err == -ENOMEM ? volume_fallocate(node, mode, offset, size) : err, 0)) {
            zero(&n->live, offset, size);
            zero(&n->durable, offset, size);
        }
    }
    volume_node_put(node);
}

static void step_attr(struct model *m, struct volume *v)
{
    int at = pick(3) ? pick_file(m) : pick_dir(m);
    struct model_node *n = &m->nodes[at];
    struct volume_node *node = get(m, v, at);
    int x = (int)pick(MODEL_XATTRS);
    char name[24], value[2000];
    snprintf(name, sizeof(name), "user.%d", x);
    if (pick(2)) {
        struct inode_attr attr = {.valid = ATTR_MODE | ATTR_UID, .mode = pick(01000), .uid = pick(1000)};
        snprintf(model_trace, sizeof(model_trace), "setattr %d mode %o", at, attr.mode);
        if (result_is(volume_setattr(node, &attr), 0)) {
            n->mode = (n->mode & S_IFMT) | attr.mode;
            n->uid = attr.uid;
        }
    } else if (pick(3)) {
        size_t size = 1 + pick(pick(2) ? 1000 : 20);
        memset(value, 'a' + (int)pick(26), size);
        snprintf(model_trace, sizeof(model_trace), "setxattr %d %s size %zu", at, name, size);
        if (result_is(volume_setxattr(node, name, value, size, 0), 0))
            bytes_set(&n->xattrs[x], value, size);
    } else {
        snprintf(model_trace, sizeof(model_trace), "removexattr %d %s", at, name);
        if (result_is(volume_removexattr(node, name), n->xattrs[x].data ? 0 : -ENODATA)) {
            free(n->xattrs[x].data);
            n->xattrs[x] = (struct model_bytes){0};
        }
    }
    volume_node_put(node);
}

int model_pick_sync(const struct model *m)
{
    return pick(12) == 0 ? -1 : pick_file(m);
}

bool model_sync(struct model *m, struct volume *v, int node)
{
    if (node < 0) {
        snprintf(model_trace, sizeof(model_trace), "sync");
        return volume_sync(v) == 0;
    }
    snprintf(model_trace, sizeof(model_trace), "fsync %d", node);
    struct volume_node *n = get(m, v, node);
    int err = volume_fsync(n);
    volume_node_put(n);
    return err == 0;
}

void model_change(struct model *m, struct volume *v)
{
    static void (*const steps[])(struct model *, struct volume *) = {
        step_create, step_create, step_link,  step_unlink, step_rename, step_rename,
        step_write,  step_write,  step_write, step_cut,    step_attr,
    };
    steps[pick(ARRAY_COUNT(steps))](m, v);
}

void model_do(struct model *m, struct volume *v, const struct model_step *step)
{
    static void (*const steps[])(struct model *, struct volume *) = {
        [MODEL_CREATE] = step_create, [MODEL_LINK] = step_link,   [MODEL_UNLINK] = step_unlink,
        [MODEL_RENAME] = step_rename, [MODEL_WRITE] = step_write, [MODEL_CUT] = step_cut,
        [MODEL_ATTR] = step_attr,
    };
    script = step->picks;
    script_left = ARRAY_COUNT(step->picks);
    steps[step->kind](m, v);
    script = NULL;
}
