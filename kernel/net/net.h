/* Sockets: the kernel's own (unix, loopback, netlink) and those of the outside, carried by the arena's channels. */
#ifndef COFRE_KERNEL_NET_NET_H
#define COFRE_KERNEL_NET_NET_H
#include "kernel/lib/types.h"
void net_init(void);
/* In an enclave that has connections of its own only as far as they are lent to it (kernel/net/loan.h). */
void net_init_borrower(void);
/* What lending adds to the functions below; set once. */
struct net_loan_ops {
    bool (*poll)(bool found); /* after a look at the ready queue. True: there is news for sockets of this enclave */
    void (*flush)(void);      /* a borrower's: tell the owner what it must send; NULL in the owner */
    bool (*wanted)(void);     /* has it something to tell besides? */
};
extern const struct net_loan_ops *net_loan_ops;
/* Look at the arena's ready queue and wake whoever waits. Called with the kernel lock: by the idle loop after and
 * before each park, by the tick, and by poll when nothing is ready. Returns true if anything was found. */
bool net_poll_ready(void);
/* Bytes wait in tx rings that the host does not know of (dirty queue not empty): the scheduler asks for a tick. */
bool net_flush_wanted(void);
/* A borrower's part of that: it needs no tick of vCPU 0. Nothing in the owner. */
void net_flush(void);
/* Does vCPU 0 pump while it is parked: always in the owner, and in a borrower once connections begin there? */
bool net_pumps(void);
bool net_pump_wanted(void); /* bytes wait for that */
/* They do from now on. And: what is left there goes to the owner, when a process ends. */
void net_pump_begin(void);
void net_pump_end(void);
/* A task asked for events without waiting and got none: now and then, pump for it, since it may never sleep. */
void net_poll_spinning(void);
/* Let the host send and receive right now (one exit). Only vCPU 0 pumps: false elsewhere, and nothing was done. Other
 * vCPUs may run kernel code meanwhile. */
bool net_pump_now(void);
/* Bytes that went through channels since boot. */
void net_bytes(uint64_t *ret_received, uint64_t *ret_sent);
/* The console's three channels as files (kernel/fs/console.c builds on these). */
ssize_t channel_read(unsigned channel, void *buf, size_t size);        /* bytes, 0 at end of file, -EAGAIN */
ssize_t channel_write(unsigned channel, const void *buf, size_t size); /* bytes, -EAGAIN, -EPIPE */
/* Keep room that is free now for later; what others write leaves it. At most a quarter of the ring in all. False: there
 * is none. Then write there, which takes no longer than copying: 0, or -errno: then not all of it. */
must_check bool channel_reserve(unsigned channel, size_t size);
void channel_unreserve(unsigned channel, size_t size);
must_check int channel_write_reserved(unsigned channel, const void *buf, size_t size);
struct wait_queue *channel_wait_queue(unsigned channel);
uint32_t channel_poll(unsigned channel); /* EPOLL* now true; EPOLLPRI: the terminal's size changed */
bool channel_take_winsize(unsigned channel);
/* As accept and getsockname give an address: at most *user_size bytes, and *user_size becomes the true size. */
int address_to_user(const void *addr, uint32_t size, uaddr_t user_addr, uaddr_t user_size) must_check;

#endif
