/*
 * Two kernels in one program: the init enclave's side and a member's, over one link area. Tasks are threads under one
 * lock, the kernel's; a thread of the world polls both sides as idle loops would. There is one application memory, the
 * member's: the init side has none to touch.
 */
#ifndef COFRE_TESTS_REMOTE_WORLD_H
#define COFRE_TESTS_REMOTE_WORLD_H

#include "abi/link.h"
#include "hosted_heap.h"
#include "kernel/process/process.h"
#include "kernel/remote/link.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define WORLD_RING 0x20000U
#define WORLD_MEMBER 1
#define WORLD_PID 7
#define WORLD_USER_PAGES 512UL

/* What the member's application has: pages as world_page() says, all writable at first. */
extern uint8_t *world_user;
enum world_page { WORLD_PAGE_NONE, WORLD_PAGE_READ, WORLD_PAGE_WRITE };
void world_page(size_t index, enum world_page kind);
bool world_is_user(uint64_t addr); /* so the init side must never touch it directly */

/* A new link area, no member yet. The calling thread is a task of the member's process and holds the kernel lock. */
void world_begin(void);
/* Both sides open the link; the poller runs. */
void world_connect(void);
void world_end(void);
struct link_area *world_area(void);
size_t world_area_size(void);
struct link_shared *world_link_shared(uint32_t number);
uint8_t *world_ring(uint32_t number, unsigned side);

/* Implementations of system calls on the init side, by number. */
extern syscall_fn world_syscalls[512];
enum { WORLD_FIFO = 0010000, WORLD_REGULAR = 0100000 };
extern unsigned world_file_mode; /* of every descriptor */
extern unsigned world_kicks;
extern void (*world_clock_read)(void); /* called each time that a kernel reads the clock; or NULL */

/* A signal is pending for the task, or not any more; wakes it. */
void world_signal(struct task *task, bool pending);
/* Run fn as another task of the member's process; world_join() waits for it, without the lock. */
struct task *world_task(int tid, void (*fn)(void *arg), void *arg);
void world_join(struct task *task);
void world_abandon(struct task *task); /* it waits for what never comes */
void world_sleep_ms(unsigned ms);      /* without the lock */

#endif
