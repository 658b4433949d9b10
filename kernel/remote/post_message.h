/*
 * Messages about output that is written without waiting for an answer (posts.h). By the order of the link:
 *
 *   POST_GRANT --> member   with the reply of a write that asked for it: so many bytes may follow to this descriptor;
 *                           0: none any more, ask again
 *   POST       <-- member   some of them, before anything else that is said after they were written
 *   POST_DROP  <-- member   no more will come
 */
#ifndef COFRE_KERNEL_REMOTE_POST_MESSAGE_H
#define COFRE_KERNEL_REMOTE_POST_MESSAGE_H

#include "kernel/remote/process_message.h"

#define POST_CREDIT 4096U /* of a grant */
#define POST_WRITE_MAX 1024U

struct post_grant_message {
    struct message message;
    uint64_t id;
    int32_t fd;
    uint32_t credit;
};

/* DROP: without bytes. */
struct post_message {
    struct message message;
    uint64_t id;
    uint8_t bytes[POST_CREDIT];
};
#define POST_SIZE(size) (offsetof(struct post_message, bytes) + (size))

#endif
