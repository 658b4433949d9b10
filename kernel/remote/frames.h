/*
 * The init enclave's side of sealed pages (sealed.h): frames, and who has which. A frame is free; a member's, to seal a
 * page into; a pipe's; or a reader's, until it has opened the page. By the order of a link:
 *
 *   FRAMES       --> member   with the reply of a write to a pipe: for the next one
 *   CALL         <-- member   a write, with pages sealed into some of them: they are the call's, and then the pipe's
 *   REPLY        --> member   of a read, with sealed pages: they are the reader's
 *   FRAMES_READ  <-- member   it has opened these
 *
 * What a member that has ended had is free when its host process is gone.
 */
#ifndef COFRE_KERNEL_REMOTE_FRAMES_H
#define COFRE_KERNEL_REMOTE_FRAMES_H

#include "kernel/remote/process_message.h"
#include "kernel/remote/sealed.h"

struct process;
struct remote_member;

#define FRAMES_MEMBER_MAX 32U /* that a member has to write to */
#define FRAMES_READ_MAX 256U

struct frames_message {
    struct message message; /* pid: whose write */
    int32_t fd;             /* it was to this descriptor; -1, without frames: who reads needs the key, too */
    uint32_t writer;        /* the number of its nonces */
    uint8_t key[AES_GCM_KEY_SIZE];
    uint32_t count, pad;
    uint32_t frames[FRAMES_MEMBER_MAX];
};
#define FRAMES_MESSAGE_SIZE(count) (offsetof(struct frames_message, frames) + (count) * sizeof(uint32_t))

struct frames_read_message {
    struct message message;
    uint32_t count, pad;
    uint32_t frames[FRAMES_READ_MAX];
};
#define FRAMES_READ_SIZE(count) (offsetof(struct frames_read_message, frames) + (count) * sizeof(uint32_t))

/* What a member knows. Starts as zeros. */
struct member_frames {
    uint32_t writer; /* its number for nonces: no other member ever has it; 0: none yet */
    bool has_key;
};

void frames_init(void);
/* A call of a member's process is over: if it wrote some pages to a pipe, its enclave gets frames for the next. */
void frames_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t fd, int64_t result);
/* It has sealed these, all in frames that are its own: now they are the call's. 0, or -EPROTO: nothing has changed. */
must_check int frames_claim(const struct remote_member *member, const struct sealed_page *pages, size_t count);
/* A page that was claimed goes to a member that reads it. False: it cannot be told the key. */
bool frame_pass(uint32_t frame, struct remote_member *member);
/* It was opened here, or nobody wants it. */
void frame_drop(uint32_t frame);
/* The host process of this member is gone. */
void frames_release(uint32_t member);
/* How many are not free. */
size_t frames_used(void);

#endif
