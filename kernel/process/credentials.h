/* Changes of credentials, with Linux's rules for what happens to capabilities. */
#ifndef COFRE_KERNEL_PROCESS_CREDENTIALS_H
#define COFRE_KERNEL_PROCESS_CREDENTIALS_H

#include "kernel/process/process.h"

/* The capabilities of a default docker container. */
#define CAPABILITIES_DEFAULT 0x00000000a80425fbULL
#define CAPABILITY_LAST 40 /* CAP_CHECKPOINT_RESTORE */
#define CAPABILITIES_ALL ((1ULL << (CAPABILITY_LAST + 1)) - 1)

/* Start of the container: ids as given, capabilities as docker's: all default ones for uid 0, else only bounding. */
void credentials_init(struct credentials *c, uint32_t uid, uint32_t gid);
/* exec: set-id bits of the program's file (mode, owner), then capabilities. *ret_secure: AT_SECURE. */
void credentials_exec(struct credentials *c, uint32_t mode, uint32_t owner, uint32_t group, bool no_new_privs,
                      bool *ret_secure);

#endif
