/* Statistics for `run --stats` (abi/stats.h). */
#ifndef COFRE_KERNEL_BOOT_STATS_H
#define COFRE_KERNEL_BOOT_STATS_H

/* The first program is about to run: boot is over. */
void stats_program_starts(void);
/* At the end: write what was counted where the host asked for it. Does nothing unless the policy allows diagnostics. */
void stats_publish(void);

#endif
