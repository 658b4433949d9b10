/*
 * The pump: moves bytes between the arena's rings (abi/ring.h) and host descriptors: TCP, UDP, listening sockets and
 * the console. It runs on vCPU 0's thread, in pump_park(); other threads may call only what says so.
 *
 * A member (host/members.h) may have one of its own, over the same arena, for the connections it accepts itself.
 *
 * Two backends: io_uring (uring.c), where a park is one io_uring_enter, and epoll (epoll.c), for hosts that forbid
 * io_uring. COFRE_PUMP=epoll or uring in the environment decides; otherwise io_uring if it works.
 */
#ifndef COFRE_HOST_PUMP_PUMP_H
#define COFRE_HOST_PUMP_PUMP_H

#include "abi/boot.h"
#include "abi/hostcall.h"
#include "host/options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pump;

struct pump_config {
    uint32_t channel_count; /* 0: default */
    uint32_t ring_size;     /* 0: default */
    const struct port_mapping *ports;
    unsigned port_count;
    bool stdin_open;
    bool exec_wanted; /* exec_socket, a listening socket, is what SOCKET_CREATE of AF_UNIX gives */
    int exec_socket;
    bool no_console;    /* tests: leave the standard descriptors alone */
    unsigned cpu_count; /* CPUs this process may use; with one the pump never spins */
    bool single_vcpu;   /* the kernel never runs while the pump does */
};

struct pump_stats {
    uint64_t rx_bytes, tx_bytes, parks, waits, syscalls, accepted, connects;
};

/* Makes a member's pump return from pump_park, sent to its thread by another process. Blocked everywhere else. */
#define PUMP_WAKE_SIGNAL SIGIO

/* Allocates the arena. Returns 0 or negative errno. Before members are forked. */
int pump_new(const struct pump_config *config, struct pump **ret_pump, char **ret_error);
/*
 * In a member: its own pump, over the arena of `init`, which fork has copied. Costs little until it is started, which
 * any thread may do, any number of times.
 */
int pump_new_member(const struct pump *init, uint32_t member, struct pump **ret_pump, char **ret_error);
bool pump_is_started(const struct pump *pump);
/* Creates the backend; on the thread that will park. */
int pump_start(struct pump *pump, char **ret_error);
void pump_free(struct pump *pump);

struct boot_blob pump_arena(const struct pump *pump);
/* A member's: boot_params.queues. */
struct boot_blob pump_queues(const struct pump *pump);
const char *pump_backend_name(const struct pump *pump);

/*
 * Send what is queued, then wait until there is news for the kernel, *kicked is set, or CLOCK_MONOTONIC reaches
 * deadline_ns (0: do not wait; PARK_FOREVER). The pump's thread only.
 */
void pump_park(struct pump *pump, uint64_t deadline_ns, atomic_uint *kicked);

/* A SOCKET host call: 0 or negative errno; the answer is in *op. Any thread. *op may change under us (it lies in shared
 * memory), so it is copied in and out. */
int64_t pump_socket(struct pump *pump, struct hostcall_socket *op);

/* The init process's: the member's host process is gone, what it had of this pump's is free. Any thread. */
void pump_member_ended(struct pump *pump, uint32_t member);

/* Make pump_park return (after its caller set *kicked). Any thread. */
void pump_wake(struct pump *pump);
/* Tell the kernel that the terminal's size changed. Any thread; the caller kicks vCPU 0. */
void pump_window_size_changed(struct pump *pump);

/*
 * The container has ended: send all that is in tx rings. Console output is waited for without limit, sockets until
 * nothing has moved for some seconds. The pump's thread only.
 */
void pump_drain(struct pump *pump);
/* True if the calling thread is the pump's. */
bool pump_is_mine(const struct pump *pump);
/* Did many connections bring input in the last 2 ms in which it pumped? Any thread. */
bool pump_has_many_clients(const struct pump *pump);

void pump_stats_read(const struct pump *pump, struct pump_stats *ret_stats);

#endif
