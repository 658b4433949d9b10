/* Lists are <sys/queue.h>'s TAILQ, LIST and SLIST; trees are <bsd/sys/tree.h>'s RB: header-only, well kept. */
#ifndef COFRE_KERNEL_LIB_LIST_H
#define COFRE_KERNEL_LIB_LIST_H

#include <bsd/sys/tree.h>
#include <sys/queue.h>

/* glibc's queue.h has no SAFE walk. */
#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                                     \
    for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))
#endif
#ifndef LIST_FOREACH_SAFE
#define LIST_FOREACH_SAFE(var, head, field, next)                                                                      \
    for ((var) = LIST_FIRST(head); (var) && ((next) = LIST_NEXT(var, field), 1); (var) = (next))
#endif

#endif
