/* Standard input, output and error of the container: the console's three channels as files. */
#ifndef COFRE_KERNEL_FS_CONSOLE_H
#define COFRE_KERNEL_FS_CONSOLE_H

#include "kernel/fs/file.h"

/*
 * A new description of channel CHANNEL_STDIN, _STDOUT or _STDERR (abi/ring.h), as PID 1 gets it for descriptors 0 to 2.
 * Without a terminal they look like pipes, as under docker run without -t.
 */
struct file *console_open(unsigned channel) must_check;

#endif
