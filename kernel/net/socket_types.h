/* Numbers of Linux's socket interface that its exported headers leave to the C library. */
#ifndef COFRE_KERNEL_NET_SOCKET_TYPES_H
#define COFRE_KERNEL_NET_SOCKET_TYPES_H

#include "kernel/lib/types.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define AF_MAX 46

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf
#define SOCK_CLOEXEC 02000000
#define SOCK_NONBLOCK 04000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define SOMAXCONN 4096

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_DONTROUTE 0x4
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_EOR 0x80
#define MSG_WAITALL 0x100
#define MSG_CONFIRM 0x800
#define MSG_ERRQUEUE 0x2000
#define MSG_NOSIGNAL 0x4000
#define MSG_MORE 0x8000
#define MSG_WAITFORONE 0x10000
#define MSG_ZEROCOPY 0x4000000
#define MSG_FASTOPEN 0x20000000
#define MSG_CMSG_CLOEXEC 0x40000000
#define MSG_CMSG_COMPAT 0x80000000U

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SCM_FILES_MAX 253

#define SOL_IP 0
#define SOL_TCP 6
#define SOL_UDP 17
#define SOL_IPV6 41
#define SOL_RAW 255
#define SOL_PACKET 263
#define SOL_NETLINK 270

#define MSG_NAME_MAX 128
#define MSG_CONTROL_MAX 20480

/* struct msghdr, struct mmsghdr and struct cmsghdr as system calls take them. */
struct user_msghdr {
    uint64_t name;
    int32_t name_size;
    uint32_t pad0;
    uint64_t iov, iov_count;
    uint64_t control, control_size;
    uint32_t flags;
    uint32_t pad1;
};
_Static_assert(sizeof(struct user_msghdr) == 56, "as Linux");

struct user_mmsghdr {
    struct user_msghdr header;
    uint32_t size;
    uint32_t pad;
};
_Static_assert(sizeof(struct user_mmsghdr) == 64, "as Linux");

struct cmsg_header {
    uint64_t size; /* with this header */
    int32_t level, type;
};

#define CMSG_ALIGN(size) ALIGN_UP((size_t)(size), (size_t)8)

struct ucred {
    int32_t pid;
    uint32_t uid, gid;
};

struct linger {
    int32_t on, seconds;
};

#endif
