/* What a thread has read and written by system calls: /proc/PID/io. */
#ifndef COFRE_KERNEL_PROCESS_IO_COUNTS_H
#define COFRE_KERNEL_PROCESS_IO_COUNTS_H

#include "kernel/lib/types.h"

struct io_counts {
    uint64_t bytes_read, bytes_written;
    uint64_t reads, writes; /* calls */
};

static inline void io_counts_add(struct io_counts *to, const struct io_counts *from)
{
    to->bytes_read += from->bytes_read;
    to->bytes_written += from->bytes_written;
    to->reads += from->reads;
    to->writes += from->writes;
}

#endif
