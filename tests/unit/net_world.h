/*
 * The kernel's network code hosted: files, sleeping and application memory made of the C library, and a fake host on
 * the other side of an arena. The host is honest unless told to lie.
 *
 * Sleeping runs the fake host (world.idle); a sleep nobody ends gives EINTR.
 */
#ifndef COFRE_TESTS_NET_WORLD_H
#define COFRE_TESTS_NET_WORLD_H

#include <setjmp.h>

#include "abi/hostcall.h"
#include "abi/ring.h"
#include "hosted_heap.h"
#include "kernel/syscalls/syscall.h"

#define WORLD_CHANNELS 128
#define WORLD_RING 4096

struct world {
    uint8_t *arena;
    size_t arena_size;
    struct arena_header *header;
    struct arena_queue *ready, *dirty;
    struct arena_queue *own_ready, *own_dirty; /* of the pump of a borrower's own process */
    struct channel *channels;
    uint8_t *rings;
    void (*idle)(void);                      /* what a sleep does; NULL = nothing */
    int (*socket)(struct hostcall_socket *); /* the host's answer to SOCKET; NULL = host_socket */
    uint64_t now_ns;

    /* host_lied(): with lie_armed, longjmp(lie) after filling lie_text; else the test fails */
    jmp_buf lie;
    bool lie_armed;
    const char *lie_text;
};
extern struct world world;

void world_init(void); /* once in a process: the kernel's state cannot be made new */
/*
 * The same for an enclave that borrows connections, whose files are only those that are put there. has_pump: for those
 * that begin with it there are queues.
 */
void world_init_borrower(bool has_pump);
#define WORLD_FDS 256
struct file;
int world_fd_set(int fd, struct file *file); /* closes what is there; -EBADF */
int world_signals(int signal);               /* how often it was sent */
void world_timer(void);                      /* the first armed timer's time has come */

/* The host's side, honest. */
struct host_chan {
    bool open, listening, closed, reset, connecting, connected, shut_write;
    bool own;            /* the pump of a borrower's own process has it */
    bool demand, wanted; /* listening: accepts when it is asked to; and is to say when there is a client */
    unsigned clients;    /* that wait for that */
    int family, type;
    uint32_t rx_head, rx_base, tx_tail;
    uint8_t bound[128];
    uint32_t bound_size;
};
extern struct host_chan host_chans[WORLD_CHANNELS];
int host_socket(struct hostcall_socket *op);
void host_pump(void);                                            /* takes the dirty queue */
uint32_t host_dirty_taken(uint32_t number);                      /* how often this channel was dirty */
uint32_t host_accept(uint32_t listener);                         /* a client comes: its channel */
void host_client(uint32_t listener);                             /* the same, to wait if it is to be asked for */
size_t host_put(uint32_t number, const void *data, size_t size); /* into rx, as much as there is room; makes ready */
size_t host_take(uint32_t number, void *data, size_t size);      /* out of tx */
void host_event(uint32_t number, uint32_t events, int error);
void host_ready(uint32_t number);
void host_datagram(uint32_t number, uint16_t from_port, const void *data, uint32_t size);

#define ARG_(a) ((uint64_t)(a))
#define CALL6(name, a, b, c, d, e, f)                                                                                  \
    ({                                                                                                                 \
        SYSCALL_PROLOGUE_(name)                                                                                        \
        struct trap_frame frame_ = {                                                                                   \
            .rdi = ARG_(a), .rsi = ARG_(b), .rdx = ARG_(c), .r10 = ARG_(d), .r8 = ARG_(e), .r9 = ARG_(f)};             \
        sys_##name(&frame_);                                                                                           \
    })
#define CALL1(name, a) CALL6(name, a, 0, 0, 0, 0, 0)
#define CALL2(name, a, b) CALL6(name, a, b, 0, 0, 0, 0)
#define CALL3(name, a, b, c) CALL6(name, a, b, c, 0, 0, 0)
#define CALL4(name, a, b, c, d) CALL6(name, a, b, c, d, 0, 0)
#define CALL5(name, a, b, c, d, e) CALL6(name, a, b, c, d, e, 0)

/* File calls that are not the network's. */
int64_t world_read(int fd, void *buf, size_t size);
int64_t world_write(int fd, const void *buf, size_t size);
int64_t world_ioctl(int fd, unsigned command, void *arg);
int world_close(int fd);

#endif
