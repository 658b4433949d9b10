/* The vDSO: an ELF shared object given to applications (AT_SYSINFO_EHDR). */
#ifndef COFRE_KERNEL_SCHED_VDSO_H
#define COFRE_KERNEL_SCHED_VDSO_H

#include "kernel/lib/types.h"

void vdso_init(void);
/* The image to copy into a read-only executable mapping; NULL if none. */
const void *vdso_image(size_t *ret_size);

#endif
