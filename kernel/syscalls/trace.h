/*
 * The trace of system calls (cofre run --trace): a line for each, with names and bytes that it was given or gave, and
 * names of errors. How an argument is shown follows from its type and name where the call is defined.
 */
#ifndef COFRE_KERNEL_SYSCALLS_TRACE_H
#define COFRE_KERNEL_SYSCALLS_TRACE_H

#include "kernel/lib/types.h"

struct trap_frame;

#define TRACE_LINE_MAX 320

struct trace {
    uint64_t nr, args[6];
    const char *rest; /* of the arguments, what is shown when there is a result */
    unsigned next;    /* their number */
    size_t size;
    char line[TRACE_LINE_MAX];
};

/* Of the current task, before the call: names must be read before it changes them. May sleep, as user memory does. */
void trace_begin(struct trace *trace, uint64_t nr, const struct trap_frame *frame);
/* For calls that may not return: print what there is. */
void trace_print(const struct trace *trace);
void trace_end(struct trace *trace, int64_t result, bool implemented);

#endif
