/* Who is meant by a USER string: names looked up in the image's own /etc/passwd and /etc/group. */
#ifndef COFRE_KERNEL_PROCESS_USERDB_H
#define COFRE_KERNEL_PROCESS_USERDB_H

#include "kernel/lib/types.h"

struct user_entry {
    uint32_t uid, gid;
    uint32_t groups[64]; /* supplementary, gid not among them */
    size_t group_count;
    char home[256];
};

/*
 * spec: "", "user", "uid", "user:group" and so on, as docker takes it. passwd and group are the files' text ("" if
 * absent). 0, or -ENOENT when a name (not a number) is in neither. The name's supplementary groups come along unless a
 * group is given.
 */
must_check int user_resolve(const char *spec, const char *passwd, const char *group, struct user_entry *ret);

#endif
