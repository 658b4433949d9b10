/*
 * Which system calls a member runs itself, which the init enclave runs for it, and what memory of the caller those
 * touch: one table, complete (tools/check-calls).
 */
#ifndef COFRE_KERNEL_REMOTE_CALLS_H
#define COFRE_KERNEL_REMOTE_CALLS_H

#include "kernel/lib/types.h"

enum call_place {
    CALL_NOWHERE = 0, /* no such call */
    CALL_HERE,        /* memory, threads, signals, time: the member's own */
    CALL_THERE,       /* whatever processes share: the init enclave runs it */
    CALL_BOTH,        /* there, and if that succeeds here too: rights and limits are kept in both */
    CALL_MIXED,       /* depends on the arguments: kernel/remote/mixed.c */
};

enum window_kind {
    ARG_NONE = 0,
    ARG_STRING,
    ARG_IN,
    ARG_OUT,
    ARG_INOUT,
    ARG_SOCKADDR_OUT, /* address; args[size_arg] points to its length, a 32-bit word in and out */
    ARG_IOV_IN,       /* struct iovec array; args[size_arg] of them */
    ARG_IOV_OUT,
    ARG_MSG_IN, /* struct msghdr of a send */
    ARG_MSG_OUT,
    ARG_MMSG_IN, /* struct mmsghdr array; args[size_arg] of them */
    ARG_MMSG_OUT,
    ARG_FD_SETS, /* select: args[1..3], of args[0] bits */
};

#define NO_ARG 15

/* size bytes, or size * args[size_arg]. */
struct call_window {
    uint8_t kind : 4, arg : 4;
    uint8_t size_arg;
    uint16_t size;
};

/* Calls that move bytes between memory and a file, and may be taken on in pieces. */
enum call_moves { MOVES_NOTHING = 0, MOVES_IN = 1, MOVES_OUT = 2, MOVES_VECTOR = 4, MOVES_AT_OFFSET = 8 };

#define CALL_WINDOWS 4

struct call {
    uint8_t place; /* enum call_place */
    uint8_t moves;
    struct call_window windows[CALL_WINDOWS];
};

/* Never NULL. */
const struct call *remote_call_describe(uint64_t nr);
/* May a member ask for this one? */
bool remote_call_allowed(uint64_t nr);
bool remote_call_moves(uint64_t nr);
/* A sendto or recvfrom without an address which on a stream goes on until all is sent or received. */
bool remote_call_streams(uint64_t nr, const uint64_t args[6]);
bool remote_call_reads(uint64_t nr);

#endif
