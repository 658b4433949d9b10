/*
 * A running process of a container as the host sees it: an enclave, vCPU threads, the pump, and what they share. One
 * per host process; host/members.h is about the others.
 *
 * Threads: vCPU threads (0 owns the pump), the ticker, and the signal thread, which is the process's first thread.
 */
#ifndef COFRE_HOST_RUNTIME_H
#define COFRE_HOST_RUNTIME_H

#include "abi/boot.h"
#include "abi/hostcall.h"
#include "abi/layout.h"
#include "abi/stats.h"
#include "host/artifacts.h"
#include "host/options.h"
#include "host/sgx/sgx.h"

#include <pthread.h>
#include <stdatomic.h>

struct members;
struct pump;
struct start_area;

struct vcpu {
    struct runtime *runtime;
    unsigned index;
    pthread_t thread;
    atomic_bool started;
    _Atomic(struct sgx_thread *) sgx; /* NULL before the thread has registered */
    struct vcpu_shared *shared;
    atomic_uint *kicked; /* set by whoever wakes it, taken by the park; both are in the link area */
    atomic_uint *parked;
    atomic_bool in_host;   /* host code of this thread runs, not the enclave */
    unsigned kick_retries; /* ticker's: a tick may be lost on hardware */
    uint64_t last_tick_ns; /* ticker's */
    uint64_t idle_count;   /* times it had nothing to run */
    uint64_t idle_seen;    /* ticker's */
    uint64_t hostcalls[HOSTCALL_COUNT];
};

struct runtime {
    struct run_options options;
    struct artifacts artifacts;
    struct sgx_enclave *enclave;
    struct pump *pump;     /* of the init process; members only wake it */
    struct pump *own_pump; /* a member's, started by its first SOCKET_SHARE; NULL in the init process */
    struct members *members;
    uint32_t member; /* which one this process is; 0 = init */
    uint8_t image_key[IMAGE_KEY_SIZE];
    size_t image_key_size; /* 0: the image takes none from us */
    char *marble;          /* PEM, of marble_size; NULL: none was given, or it is not wanted */
    size_t marble_size;
    struct boot_blob cpuid;
    struct start_area *start; /* start_pages_open(); NULL in members */
    unsigned vcpu_count;
    struct vcpu vcpus[VCPU_MAX];
    struct vcpu_shared *shared;
    struct boot_params *boot;
    struct run_stats *stats; /* members_stats() */
    atomic_uint ticker_asleep;
    atomic_int ending; /* exit status + 1 once somebody has begun to end the process */
    atomic_ulong edmm_ioctls;
};

/* vcpu.c */
int vcpus_start(struct runtime *runtime, char **ret_error);
/*
 * The same for a member: most have one thread. vCPU 0 runs on the caller's, and the threads of the others start when
 * they are first kicked. prepare comes before anything that looks at vCPUs; run never returns.
 */
void vcpus_prepare(struct runtime *runtime);
_Noreturn void vcpus_run(struct runtime *runtime);
/* Wake vCPU i if it is parked, else interrupt it. Any thread. */
void vcpu_kick(struct runtime *runtime, unsigned i);
/* The pump that this process's vCPU 0 parks in; NULL: none. */
struct pump *runtime_pump(const struct runtime *runtime);
/* PARK for a vCPU that does not pump. */
void vcpu_park(struct vcpu *vcpu, uint64_t deadline_ns);

/* hostcalls.c: the sgx_exit_handler_t of all vCPUs; context is the struct vcpu. */
enum sgx_vcpu_action hostcall_dispatch(void *context, uint64_t reason, uint64_t rsi);

/* ticker.c */
int ticker_start(struct runtime *runtime);
/* A vCPU runs again: the ticker must not sleep on. */
void ticker_wake(struct runtime *runtime);

/* signals.c */
void signals_block(void);
_Noreturn void signals_forward(struct runtime *runtime);

/* boot_params.c */
/* The key of an encrypted image, if the policy has it from a file; says so on stderr. */
int image_key_load(struct runtime *runtime, char **ret_error);
/* MarbleRun's certificate for this container: $COFRE_MARBLE, unless --marble. 0 or negative errno. */
int marble_load(struct runtime *runtime, char **ret_error);
/* What CPUID says: asking takes half a millisecond where a hypervisor answers, so once for all members. */
void boot_params_prepare(struct runtime *runtime);
int boot_params_make(struct runtime *runtime, char **ret_error);

/* stats.c */
/*
 * In a member: what the host has counted for it goes where the init process finds it, whatever becomes of the member.
 * Before a vCPU sleeps; any vCPU thread.
 */
void stats_keep(struct runtime *runtime);
/* At the end: the same; and the init process, when its members are gone, shows what all of them counted. */
void stats_finish(struct runtime *runtime);

/* end.c */
/*
 * End the process with docker's exit status for `status` (an exit code, or 256 + signal number): everything queued is
 * sent, statistics printed, the terminal restored. Any vCPU thread; does not return. Only vCPU 0's thread may use the
 * pump, so another one interrupts it.
 */
_Noreturn void runtime_end(struct vcpu *vcpu, int status);
/* The same from a thread that is none, which goes on. */
void runtime_end_outside(struct runtime *runtime, int status);
/* vCPU 0's thread, once, before it first enters: how the others interrupt it. */
int runtime_end_init(struct vcpu *vcpu);
/* Leaving host code for the enclave: does not return if somebody has ended the container. */
void runtime_end_check(struct vcpu *vcpu);

#endif
