/*
 * A file system in memory that knows what must survive: each file has its contents, and those that a crash may not lose
 * (the state of its last sync, with later truncations). Compared with a volume through a canonical text of each.
 */
#ifndef COFRE_TESTS_VOLUME_MODEL_H
#define COFRE_TESTS_VOLUME_MODEL_H

#include "kernel/volume/volume.h"

#define MODEL_NODES 40
#define MODEL_FILE_MAX (300 * 1024)
#define MODEL_XATTRS 3

struct model_bytes {
    uint8_t *data;
    size_t size;
};

struct model_node {
    bool used, along;
    uint32_t mode, uid, nlink;
    struct model_bytes live, durable; /* of files; symlinks: live */
    struct model_bytes xattrs[MODEL_XATTRS];
    int parent;
    char names[MODEL_NODES][2]; /* of directories: the name of each node in it, "" = none; one name for each dir */
    uint64_t ino;
};

struct model {
    struct model_node nodes[MODEL_NODES];
};

/* Text that is equal if and only if the trees are; malloc'd. contents: live, or what survives. */
char *model_text(const struct model *m, bool durable);
char *volume_text(struct volume *v);

void model_init(struct model *m);
void model_deinit(struct model *m);
void model_copy(struct model *ret_copy, const struct model *m);
/* A commit of this node's contents (-1: of all). */
void model_commit(struct model *m, int node);

/* One random operation on both, which must agree on the result. model_trace says what it was. */
void model_change(struct model *m, struct volume *v);
/* One that is given: what its choices come out as, in the order that model.c makes them. */
enum model_kind { MODEL_CREATE, MODEL_LINK, MODEL_UNLINK, MODEL_RENAME, MODEL_WRITE, MODEL_CUT, MODEL_ATTR };
struct model_step {
    const char *name;
    enum model_kind kind;
    unsigned picks[8];
};
void model_do(struct model *m, struct volume *v, const struct model_step *step);
/* What to sync: a node, or -1 for everything. Then that; false if it failed. The model is not told. */
int model_pick_sync(const struct model *m);
bool model_sync(struct model *m, struct volume *v, int node);
extern char model_trace[256];

#endif
