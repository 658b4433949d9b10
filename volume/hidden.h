/* A new file for a volume that appears under its name only when it is whole. */
#ifndef COFRE_VOLUME_HIDDEN_H
#define COFRE_VOLUME_HIDDEN_H

#include "volume/tool.h"

struct hidden_file {
    struct volume_file file, old; /* old: what it replaces, locked */
    const char *path;
    char *temporary; /* its name meanwhile, or NULL: none */
    bool open, replaces;
};

/* Of size bytes, all allocated. One that exists is replaced only with force, and not before the end. 0 or an exit code
 * after a message. */
int hidden_create(struct hidden_file *h, const char *path, uint64_t size, bool force);
/* The file gets its name and is durable, or is gone. 0 or an exit code after a message. */
int hidden_end(struct hidden_file *h, bool keep);

#endif
