/* What programs touched the last times they ran (kernel/mm/expected.h): in the init enclave, of a few programs. */
#ifndef COFRE_KERNEL_REMOTE_PROGRAMS_H
#define COFRE_KERNEL_REMOTE_PROGRAMS_H

#include "kernel/mm/expected.h"

struct inode;

void programs_learn(const struct inode *program, const struct expected *touched);
/* ret->count is 0 if nothing is known. */
void programs_recall(const struct inode *program, struct expected *ret);

#endif
