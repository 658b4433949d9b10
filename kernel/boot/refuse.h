/* A container that cannot start says why and exits as docker does. */
#ifndef COFRE_KERNEL_BOOT_REFUSE_H
#define COFRE_KERNEL_BOOT_REFUSE_H

#include "kernel/lib/types.h"

enum { STATUS_REFUSED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

/*
 * Why the container does not start, for whoever runs it: said whatever the policy says of diagnostics. So nothing that
 * the application computed, and no secret, may be in it.
 */
noreturn_fn void refuse(int status, const char *format, ...) printf_like(2, 3);

#endif
