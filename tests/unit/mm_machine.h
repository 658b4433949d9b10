/*
 * An enclave's memory as kernel/mm/ sees it, made of ordinary memory: EPCM, ENCLU leaves, EDMM host calls. Pages live
 * at their real (low) addresses. Every rule of EACCEPT that mm relies on is checked here.
 */
#ifndef COFRE_TESTS_MM_MACHINE_H
#define COFRE_TESTS_MM_MACHINE_H

#include "kernel/boot/boot.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/process/process.h"

#define MACHINE_SIZE 0x10000000UL /* ELRANGE as far as these tests go: 256 MiB */

extern struct process machine_process;
extern unsigned long machine_hostcalls; /* EDMM calls so far */
/* The host answers 0 to this operation (an enum edmm_op) without doing it; -1: never. */
extern int machine_lie;
/* No other vCPU is in user code; at first true. */
extern bool machine_alone;
/* A call site lies across this page boundary; 0: none. */
extern uaddr_t machine_straddled;
extern unsigned long machine_copies; /* EACCEPTCOPY so far */
extern uint64_t machine_pages_left;  /* that the host still adds */

/* A fresh machine. Once per process and mode: mm keeps its state for ever. */
void machine_init(bool edmm, uint64_t limit_bytes);
/* Rights the EPCM (or, without EDMM, the page tables) grants: PAGE_R... or 0. */
unsigned machine_rights(uaddr_t page);
/* What the application's own access would do, faults included: 0, or the signal it would be sent. */
enum { TOUCH_BUS = 7, TOUCH_KILL = 9, TOUCH_SEGV = 11 };
int machine_touch(uaddr_t addr, bool write, uint8_t *value);

/* Time goes on; timers that come due meanwhile fire. */
void machine_pass_time(uint64_t ns);

/* A number below `below`, by a series that the seed (at first 1) begins. */
extern unsigned machine_seed;
unsigned machine_pick(unsigned below);

/* Runs fn; true if it ended in host_lied() or panic(). */
bool machine_dies(void (*fn)(void));

#endif
