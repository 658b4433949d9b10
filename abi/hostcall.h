/*
 * Every way out of the enclave.
 *
 * A host call is an EEXIT with RDI = EXIT_HOSTCALL. Number, arguments and result travel in this vCPU's struct
 * vcpu_shared (untrusted). The host answers by EENTER with the same TCS (RDI = ENTER_RETURN). Errors are negative
 * errno. The kernel side (kernel/arch/hostcall.c) copies arguments out, copies the result in once, and checks it as the
 * table says.
 *
 * HOSTCALL(number, name, what, what the kernel checks of the answer)
 */
#ifndef COFRE_ABI_HOSTCALL_H
#define COFRE_ABI_HOSTCALL_H

#include <stdint.h>

#define HOSTCALLS(HOSTCALL)                                                                                            \
    HOSTCALL(0, PARK,                                                                                                  \
             "sleep until an event, a kick or deadline arg0 (CLOCK_MONOTONIC ns, ~0 = none; 0 = leave the CPU to "     \
             "others for a moment); "                                                                                  \
             "arg1 & PARK_PUMP: send what is queued, wait for input, fill rings",                                      \
             "result ignored; rings are validated when read")                                                          \
    HOSTCALL(1, KICK,                                                                                                  \
             "wake or interrupt the vCPUs of bit mask arg0 of process arg1 (0 = init, else a member) "                 \
             "if arg2 = 1, of the own process if arg2 = 0",                                                            \
             "result ignored")                                                                                         \
    HOSTCALL(2, SOCKET, "struct hostcall_socket in vcpu_shared.data: create, bind, listen, connect, options, close",   \
             "channel in range and free; address length and family; value length")                                     \
    HOSTCALL(3, EDMM, "op arg0 (enum edmm_op) on [arg1, arg1 + arg2), arg3 = permissions or page type",                \
             "0 or error; the effect is proved by EACCEPT, never by the answer")                                       \
    HOSTCALL(4, CLOCK, "fill struct hostcall_clock in vcpu_shared.data", "rate within 1% of the first; no step back")  \
    HOSTCALL(5, CONSOLE, "op arg0 (enum console_op): terminal modes and window size", "sizes are plain numbers")       \
    HOSTCALL(6, LOG, "write arg0 bytes of vcpu_shared.data to the host's stderr (panics, policy permitting debug)",    \
             "result ignored")                                                                                         \
    HOSTCALL(7, EXIT, "the container has ended: exit status arg0 (0..255), or 256 + signal number", "does not return") \
    HOSTCALL(8, TRACE, "as LOG, for the system call trace", "result ignored")                                          \
    HOSTCALL(9, SPAWN, "op arg0 (enum spawn_op) on member arg1: host processes for members; init only",                \
             "0 or error; who is there is proved by the link's handshake, never by the answer")                        \
    HOSTCALL(10, QUOTE,                                                                                                \
             "op arg0 (enum quote_op): what the platform's quoting enclave says, asked for now, read later",           \
             "size in range and the same in each piece; the quote is well-formed and of the report that was sent")     \
    HOSTCALL(                                                                                                          \
        11, VOLUME,                                                                                                    \
        "op arg0 (enum volume_op, and VOLUME_OP_LATER) on volume arg1 (VOLUME_FILE): arg3 blocks from block arg2 on "  \
        "between its file and its buffer (abi/volume.h); init only",                                                   \
        "0 or error; what was read is authenticated by the volume's own keys, what was written by reading it")         \
    HOSTCALL(12, KEY,                                                                                                  \
             "op arg0 (enum key_op): a message to the key server that the policy names and its answer "                \
             "(abi/key_release.h), asked for now, read later; init only",                                              \
             "size in range; what is in it is authenticated by a channel to the pinned key")

enum hostcall {
#define HOSTCALL_ENUM(number, name, what, check) HOSTCALL_##name = (number),
    HOSTCALLS(HOSTCALL_ENUM)
#undef HOSTCALL_ENUM
        HOSTCALL_COUNT
};

enum tick_wanted { TICK_NONE = 0, TICK_PREEMPT = 1, TICK_FLUSH = 2 };

#define PARK_PUMP 1ULL
#define PARK_FOREVER (~0ULL)

/* RDI at EEXIT. */
enum exit_reason {
    EXIT_HOSTCALL = 1, /* perform vcpu_shared's host call, then EENTER with ENTER_RETURN */
    EXIT_RESUME = 2,   /* the exception entry is done: ERESUME */
    EXIT_DEAD = 3,     /* this vCPU can do no more (panic already reported): end the container */
};

/* RDI at EENTER. A hint for CSSA = 1 (the SSA's EXITINFO decides); authoritative for nothing. */
enum enter_reason {
    ENTER_BOOT = 0,      /* first entry of this TCS; RSI = address of struct boot_params */
    ENTER_RETURN = 1,    /* a host call's answer is in vcpu_shared */
    ENTER_EXCEPTION = 2, /* CSSA = 1: an exception happened inside */
    ENTER_TICK = 3,      /* CSSA = 1: preemption tick or kick */
};

/* Permissions of pages, as in SECINFO.FLAGS. */
#define EDMM_R 1
#define EDMM_W 2
#define EDMM_X 4

enum edmm_op {
    EDMM_RESTRICT = 0, /* EMODPR to arg3; then EACCEPT each page with PR set */
    EDMM_TRIM = 1,     /* EMODT to PT_TRIM; then EACCEPT each page, then EDMM_REMOVE */
    EDMM_REMOVE = 2,   /* EREMOVE trimmed and accepted pages */
    EDMM_PROTECT = 3,  /* page-table permissions only (mprotect); what SGX1 has; never a security boundary */
    EDMM_POPULATE = 4, /* hint: EAUG these pages now, so that EACCEPT does not fault (no-op where unsupported) */
};

enum spawn_op {
    SPAWN_START = 0,   /* make a host process with an enclave for a free member */
    SPAWN_KILL = 1,    /* end it at once (its kernel misbehaved or is not needed) */
    SPAWN_RELEASE = 2, /* its end has been seen: the number is free again */
};

enum console_op {
    CONSOLE_GET_WINSIZE = 0, /* result = rows << 16 | cols */
};

/*
 * Asking takes as long as the service behind it takes, so it is begun and then read until the answer is there; a begin
 * abandons what was begun before. Every answer may be refused or late: then there is no quote, and nothing worse.
 */
enum quote_op {
    QUOTE_TARGET = 0, /* begin: the quoting enclave's TARGETINFO (512 bytes). 0 */
    QUOTE_MAKE = 1,   /* begin: the quote of the REPORT (432 bytes) in data. 0 */
    QUOTE_READ = 2, /* data := the answer's bytes from offset arg1 on; result: its size, -EAGAIN while it is awaited, or
                       why there is none */
};
#define QUOTE_SIZE_MAX 16384U

/*
 * A message is put, piece by piece, then sent; its answer is read until it is there. One at a time: sending abandons
 * what was sent before.
 */
enum key_op {
    KEY_PUT = 0,  /* the message's bytes from offset arg1 on := arg2 bytes of data. 0 */
    KEY_SEND = 1, /* begin: the first arg1 bytes, over a new connection if arg2 is 1, else over the last one. 0 */
    KEY_READ = 2, /* data := the answer; result: its size, -EAGAIN while it is awaited, or why there is none */
};

/* The host's answer to CLOCK. */
struct hostcall_clock {
    uint64_t tsc, monotonic_ns, realtime_ns, tsc_hz;
};

#define HOSTCALL_DATA_SIZE 2048

/* One page per vCPU, untrusted; boot_params.vcpu_shared holds them VCPU_SHARED_STRIDE bytes apart. */
#define VCPU_SHARED_STRIDE 4096
struct vcpu_shared {
    uint64_t nr; /* enum hostcall */
    uint64_t args[6];
    int64_t result;
    /*
     * Written by the kernel, read by the host's ticker at any time (relaxed): ticks are delivered only while non-zero.
     * TICK_PREEMPT: about every 4 ms; TICK_FLUSH: about every 1 ms.
     */
    uint32_t tick_wanted;
    /* Futex-like word owned by the host: kicks. The kernel only reads it as a hint before parking. */
    uint32_t kick;
    /* Host -> kernel hint: 1 while this vCPU sits in PARK, so that others know whether KICK is needed. */
    uint32_t parked;
    /*
     * vcpu_shared[0] only. Signals for the container's first process: bit n - 1 for signal n (1..31), or-ed in by the
     * host, which then kicks vCPU 0 (a parked one returns from PARK, a running one gets ENTER_TICK whatever
     * tick_wanted says). The kernel takes them with one exchange with 0 after every PARK and at every tick of vCPU 0.
     * With a terminal (BOOT_TTY) keys such as ^C come as bytes on channel 0, never as bits here.
     */
    uint32_t signals;
    uint64_t reserved[20];
    uint8_t data[HOSTCALL_DATA_SIZE];
} __attribute__((aligned(4096)));
_Static_assert(sizeof(struct vcpu_shared) == 4096, "one page, also as an array");

/* SOCKET operations. Addresses are struct sockaddr_in / sockaddr_in6 exactly as Linux lays them out. */
enum socket_op {
    /*
     * family, type, protocol, channel := the kernel's choice of free channel. AF_UNIX: the one socket on which commands
     * for a running container are asked for (BOOT_EXEC, abi/exec.h), bound already; only LISTEN and CLOSE follow.
     */
    SOCKET_CREATE = 0,
    SOCKET_BIND = 1,   /* addr; answer: addr as bound (getsockname, published ports translated back) */
    SOCKET_LISTEN = 2, /* value = backlog; accepted sockets then appear in the channel's rx ring (abi/ring.h) */
    /*
     * addr; answers 0 (datagram), -EINPROGRESS (stream: always, the outcome is CHAN_EV_CONNECTED or CHAN_EV_ERROR) or
     * an error; addr := local address.
     */
    SOCKET_CONNECT = 3,
    SOCKET_SHUTDOWN = 4, /* value = SHUT_*: after all queued tx bytes; returns at once */
    SOCKET_CLOSE = 5, /* value & CLOSE_RESET: linger 0, send RST. Otherwise tx is drained, then FIN. Frees the channel
                         later: the host posts CHAN_EV_CLOSED when the slot may be reused */
    /*
     * level, name, optval, optlen: only those of the kernel's allow list. SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO,
     * SO_ERROR, SO_TYPE and the like are the kernel's own business: the host refuses them (-ENOPROTOOPT).
     */
    SOCKET_SETOPT = 6,
    SOCKET_GETOPT = 7,  /* same, answer in optval */
    SOCKET_GETNAME = 8, /* value: 0 local, 1 peer; answer in addr */
    /*
     * A listening channel; value: 1: the host accepts nothing by itself any more, only when asked to (SOCKET_ACCEPT,
     * CHAN_K_WANT_ACCEPT); what its rx ring holds stays there. 0: as before.
     */
    SOCKET_DEMAND = 9,
    /*
     * In a member: channel = a listening channel of the init process, in which SOCKET_DEMAND was said. value := an odd
     * channel of this process's own pump (struct boot_params, queues) over the same host socket, listening on demand.
     * Its life is that of an accepted connection's channel. The first such call starts the pump.
     */
    SOCKET_SHARE = 10,
    /*
     * A listening channel on demand: accept one connection, without waiting. All that is queued is sent before, and
     * what the connection brings is received after, by the same call. optval := its struct ring_accept, optlen := the
     * size of that. -EAGAIN: there is none.
     */
    SOCKET_ACCEPT = 11,
    /*
     * In a member: a stream of its own pump becomes one of the init process's pump, as it is, with what is in its
     * rings; the init enclave may use it as soon as this call has returned. GIVE_ALL: all of them, closed ones that
     * have something left to send too; listening ones are closed. At the end of a process.
     */
    SOCKET_GIVE = 12,
    SOCKET_READY =
        13, /* a listening channel on demand; value := 1 if SOCKET_ACCEPT would give a connection now, or 0 */
};
#define CLOSE_RESET 1
#define GIVE_ALL UINT32_MAX

struct hostcall_socket {
    uint32_t op;
    uint32_t channel;
    int32_t family, type, protocol;
    int32_t value;
    int32_t level, name;
    uint32_t addr_size;
    uint32_t optlen;
    uint8_t addr[128];
    uint8_t optval[256];
};
_Static_assert(sizeof(struct hostcall_socket) <= HOSTCALL_DATA_SIZE, "fits the data area");

#endif
