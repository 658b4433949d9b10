/*
 * The init enclave's side: members, the agents that act for their processes, and what members send.
 */
#ifndef COFRE_KERNEL_REMOTE_SERVER_H
#define COFRE_KERNEL_REMOTE_SERVER_H

#include "kernel/remote/frames.h"
#include "kernel/remote/handle.h"
#include "kernel/remote/message.h"

struct process;
struct remote_member;

/* process->remote of a process whose tasks run in a member: where, and what it has there of ours. */
struct remote_process {
    struct remote_member *member; /* referenced */
    struct handle_table handles;
    uint32_t stream;      /* that its beginning comes by; 0 once it runs */
    uint32_t stream_from; /* the enclave that sends it */
    uint64_t stream_id;
    bool sent;                    /* all of it is in the ring: who sent it may end */
    bool killed;                  /* SIGKILL is on its way there */
    struct remote_member *waiter; /* referenced; told by an answer to wait_message when it runs */
    struct message wait_message;
};

/*
 * Make link `number` new and begin the handshake with the enclave that will come there: before it is started. NULL when
 * out of memory. The caller has a reference.
 */
struct remote_member *remote_member_new(uint32_t number) must_check;
struct remote_member *remote_member_get(struct remote_member *member);
/* With the last reference, the link is closed and the number free for another remote_member_new(). */
void remote_member_put(struct remote_member *member);
/* It is gone or will be: no message comes in any more, its agents are cancelled and told that nothing comes back. */
void remote_member_end(struct remote_member *member);

uint32_t remote_member_number(const struct remote_member *member);
struct link *remote_member_link(struct remote_member *member);
struct member_frames *remote_member_frames(struct remote_member *member);
/* Has the enclave proved itself: has a record of it opened? */
bool remote_member_proved(const struct remote_member *member);
/* Does a request of it wait to be answered? */
bool remote_member_busy(const struct remote_member *member);
struct remote_member *remote_member_find(uint32_t number); /* borrowed; NULL */

/* Called when a member is lost: its link died (lie: what the host lied about) or its host process ended (NULL). Must
 * not sleep. */
void remote_member_on_lost(void (*fn)(struct remote_member *member, const char *lie));
/* Called before each message is acted on. Must not sleep. */
void remote_member_on_heard(void (*fn)(uint32_t member, uint32_t type));
/* Messages of types from MESSAGE_HANDLED on. fn must not sleep; it owns the record. */
void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record));

/* Look at all links; part of remote_poll(). False: look again later, memory was short. */
bool server_poll(void);

#endif
