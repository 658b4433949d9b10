/* Statistics for `run --stats` (abi/stats.h). */
#ifndef COFRE_KERNEL_BOOT_STATS_H
#define COFRE_KERNEL_BOOT_STATS_H

/* The first program is about to run: boot is over. */
void stats_program_starts(void);
/*
 * Write what was counted since the kernel started where the host asked for it: at the end, and whenever this enclave
 * may be ended without being asked again. Does nothing unless the policy allows diagnostics. With the kernel lock.
 */
void stats_publish(void);

#endif
