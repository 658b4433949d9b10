/*
 * Agents: kernel tasks of the init enclave that run one system call after another for processes in other enclaves.
 *
 * A system call that an agent runs reads and writes "user memory" as any other; kernel/mm/uaccess.c and uio.c turn to
 * the functions below when task_current()->agent is set. What the call reads was sent along (windows); only what was
 * not is asked for, which sleeps. What it writes goes into the reply.
 */
#ifndef COFRE_KERNEL_REMOTE_AGENT_H
#define COFRE_KERNEL_REMOTE_AGENT_H

#include "kernel/remote/message.h"

struct linger;
struct remote_member;

struct sealed_page;

/* Input that is here. */
struct piece {
    uint64_t addr, size;
    uint8_t *data;                    /* of sealed pages: NULL, or a copy once one was needed */
    const struct sealed_page *sealed; /* in *call */
    uint64_t untaken;                 /* of these, by bits */
};

#define AGENT_OUTPUT_SMALL 640

struct agent {
    TAILQ_ENTRY(agent) entry; /* member->agents, or the pool */
    struct task *task;
    struct remote_member *member; /* referenced while it has a request */
    struct link *link;            /* the member's */
    struct linger *linger;        /* for what may follow the last call */
    uint32_t request;
    int pid, tid;
    bool entered;   /* between agent_enter() and agent_leave() */
    bool cancelled; /* CANCEL came, or the member is gone */

    /* the call */
    struct record *call;
    struct record_list data; /* DATA */
    size_t data_count, data_bytes;
    const struct call_head *head;
    struct window *windows; /* in *call */
    struct piece *pieces;
    size_t piece_count, piece_hint;

    /* a FETCH */
    bool fetching;
    struct record *fetched;

    /* the reply, as far as it is written: a message that ends in stores */
    uint8_t *out;
    size_t out_size, out_capacity;
    struct store *last; /* the last store in it, to be extended */
    bool send_failed;   /* something was lost: the result is an error */
    uint8_t small[AGENT_OUTPUT_SMALL] __attribute__((aligned(8)));
};

/* FETCHes so far: calls whose windows did not suffice. */
extern uint64_t agent_fetch_count;

/* Take apart and check agent->call and agent->data. 0, -EPROTO or -ENOMEM. */
must_check int agent_decode(struct agent *agent);
/* Give back all that belongs to the request. */
void agent_memory_free(struct agent *agent);
/* Send the result, and the stores before it. Sleeps if there is no memory to queue it. */
void agent_reply(struct agent *agent, struct reply_head reply);
void agent_fetched(struct agent *agent, struct record *record); /* takes the record over */

/* For the current task's agent. Bytes moved; fewer than asked for: the next one faults. */
size_t agent_copy_in(void *dst, uaddr_t src, size_t size);
size_t agent_copy_out(uaddr_t dst, const void *src, size_t size);
size_t agent_clear_out(uaddr_t dst, size_t size);
/* As strncpy_from_user(). */
ssize_t agent_string_in(char *dst, uaddr_t src, size_t size);
/* Room for output at dst: at most size bytes, at *ret_room (kernel memory), to be filled at once. 0: it faults. */
size_t agent_out_room(uaddr_t dst, size_t size, void **ret_room);
/*
 * Sealed pages (sealed.h): one that is exactly the input at src, whose frame is the caller's then; and one as output at
 * dst, whose frame is the reader's then. False: it must be copied.
 */
bool agent_take_sealed(uaddr_t src, struct sealed_page *ret_page);
bool agent_give_sealed(uaddr_t dst, const struct sealed_page *page);
/* Input at src that is here already, without a copy: bytes at *ret_data; 0: none, use agent_copy_in(). */
size_t agent_in_place(uaddr_t src, size_t size, const void **ret_data);

#endif
