/* Kernel side of abi/hostcall.h: one function per host call. Each copies in once and checks the answer. */
#ifndef COFRE_KERNEL_ARCH_HOSTCALL_H
#define COFRE_KERNEL_ARCH_HOSTCALL_H

#include "abi/hostcall.h"
#include "kernel/lib/types.h"

/* Leaves the enclave with the kernel lock released; returns with it held. Only the idle task parks. */
void hostcall_park(uint64_t deadline_ns, bool pump);
/* From a running task, with or without the lock: give the host CPU away; send and receive once without waiting. */
void hostcall_yield(void);
void hostcall_pump(void);
void hostcall_wait_boot(void); /* secondary vCPUs, before the scheduler exists */
void hostcall_kick(uint64_t vcpu_mask);
/* The vCPUs of another process of the container (abi/link.h): 0 = the init process. */
void hostcall_kick_member(unsigned member, uint64_t vcpu_mask);
must_check int hostcall_spawn(enum spawn_op op, unsigned member);
/* Runs one socket operation; *op is copied out and back in. Returns 0 or negative errno (host's, range-checked). */
must_check int hostcall_socket(struct hostcall_socket *op);
must_check int hostcall_edmm(enum edmm_op op, uint64_t addr, uint64_t size, uint64_t arg);
void hostcall_clock(struct hostcall_clock *ret_clock);
int64_t hostcall_console(enum console_op op, uint64_t arg);
void hostcall_log(const char *text, size_t size);
void hostcall_trace(const char *text, size_t size);
/* Begins to ask for the target or the quote of report (size bytes). 0, or negative errno (host's, range-checked). */
must_check int hostcall_quote_begin(enum quote_op op, const void *report, size_t size);
/* The answer's bytes from offset on, at most HOSTCALL_DATA_SIZE of them and at most max. Its whole size (host's word,
 * at most QUOTE_SIZE_MAX), or negative errno: -EAGAIN while it is not there yet. */
must_check int hostcall_quote_read(uint64_t offset, void *data, size_t max);
/* One operation on a volume's file (abi/volume.h). With the kernel lock released while the host works, unless op says
 * VOLUME_OP_LATER. 0 or negative errno (host's, range-checked). */
must_check int hostcall_volume(uint64_t op, uint64_t file, uint64_t block, uint64_t count);
/* The message to the key server (abi/key_release.h), whose parts are at most HOSTCALL_DATA_SIZE bytes; its way; its
 * answer, at most max bytes of it. 0, or the answer's size (host's word, at most KEY_ANSWER_MAX), or negative errno:
 * -EAGAIN while the answer is not there yet. */
must_check int hostcall_key_put(uint64_t offset, const void *data, size_t size);
must_check int hostcall_key_send(size_t size, bool fresh);
must_check int hostcall_key_read(void *data, size_t max);
noreturn_fn void hostcall_exit(int status);

#endif
