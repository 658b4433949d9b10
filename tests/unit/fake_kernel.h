/*
 * The kernel's side of abi/ring.h in plain C, for driving the host's pump without an enclave. Written from the header
 * alone, and trusting: the real one validates.
 */
#ifndef COFRE_TESTS_UNIT_FAKE_KERNEL_H
#define COFRE_TESTS_UNIT_FAKE_KERNEL_H

#include "abi/hostcall.h"
#include "abi/ring.h"
#include "host/pump/pump.h"

#include <stdatomic.h>
#include <stdbool.h>

struct fake_channel {
    uint32_t rx_tail, tx_head, tx_base;
    bool open, listening;
    void *data; /* the test's */
};

struct fake_kernel {
    struct pump *pump;
    uint8_t *arena;
    struct arena_header *header;
    struct arena_queue *ready, *dirty;
    struct channel *channels;
    uint32_t ready_tail, dirty_head, next_even;
    struct fake_channel *fake;
    atomic_uint kicked;
    uint64_t parks;
};

typedef void (*fake_ready_fn)(struct fake_kernel *k, uint32_t channel, void *arg);

struct fake_kernel *fake_kernel_new(const struct pump_config *config);
/* A member's, with a pump of its own over the arena of `init`, whose life is the longer one. */
struct fake_kernel *fake_member_new(const struct fake_kernel *init, uint32_t member);
void fake_kernel_free(struct fake_kernel *k);
/* Handle what is ready by calling fn; then park until deadline (relative, 0 = only pump) and handle again. */
void fake_kernel_park(struct fake_kernel *k, uint64_t timeout_ns, fake_ready_fn fn, void *arg);

uint32_t fake_socket(struct fake_kernel *k, int family, int type);
int64_t fake_op(struct fake_kernel *k, struct hostcall_socket *op);
/* Bind to 127.0.0.1 (port 0: any) and listen; returns the port in host order. */
uint16_t fake_listen(struct fake_kernel *k, uint32_t channel, uint16_t port, int backlog);
int64_t fake_connect(struct fake_kernel *k, uint32_t channel, uint16_t port);
int64_t fake_shutdown(struct fake_kernel *k, uint32_t channel, int how);
int64_t fake_close(struct fake_kernel *k, uint32_t channel, bool reset);

/* The same without a host call: CHAN_K_* flags. */
void fake_end(struct fake_kernel *k, uint32_t channel, uint32_t flags);

uint32_t fake_read(struct fake_kernel *k, uint32_t channel, void *buf, uint32_t size);
uint32_t fake_rx_used(struct fake_kernel *k, uint32_t channel);
uint32_t fake_write(struct fake_kernel *k, uint32_t channel, const void *buf, uint32_t size);
uint32_t fake_tx_room(struct fake_kernel *k, uint32_t channel);
uint32_t fake_events(struct fake_kernel *k, uint32_t channel);
void fake_want_room(struct fake_kernel *k, uint32_t channel, bool want);
/* A listening channel of the init process, here; 0 or negative errno. */
int64_t fake_share(struct fake_kernel *k, uint32_t channel, uint32_t *ret_channel);
/* SOCKET_ACCEPT: 0 or negative errno. */
int64_t fake_accept_now(struct fake_kernel *k, uint32_t channel, struct ring_accept *ret_record);
void fake_want_accept(struct fake_kernel *k, uint32_t channel);
/* A member's channel becomes the init process's, for both hosts and both kernels. */
int64_t fake_give(struct fake_kernel *k, struct fake_kernel *init, uint32_t channel);
/* Takes one accept record; 0 if none. */
uint32_t fake_accept(struct fake_kernel *k, uint32_t channel, struct ring_accept *ret_record);

#endif
