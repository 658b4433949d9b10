/*
 * A link: an authenticated, encrypted, ordered channel of records between two enclaves, over two rings in untrusted
 * memory (abi/link.h).
 *
 * Each side puts a random nonce into the link's shared words; both derive a key for each direction from a base key that
 * only they know, and the two nonces. So no two lives of a link share a key, whatever the host replays, and a side that
 * lacks the base key cannot make a record that opens. On a ring a record is
 *
 *   uint32_t size of the message | uint32_t 0 | message, AES-256-GCM encrypted | tag, 16 bytes | padding to 8
 *
 * with the first 8 bytes authenticated too and the number of the record in its direction as nonce: a record that was
 * changed, dropped, repeated or moved does not open. Then the link is dead, for good. What the host can do is see sizes
 * and times, and hold records back.
 *
 * All under the kernel lock. Nothing here sleeps, but link_wait().
 */
#ifndef COFRE_KERNEL_REMOTE_LINK_H
#define COFRE_KERNEL_REMOTE_LINK_H

#include "kernel/crypto/aes_gcm.h"
#include "kernel/lib/list.h"
#include "kernel/sched/wait.h"

#define LINK_MESSAGE_MAX (0x10000UL + 1024) /* bytes of a message */
#define LINK_KEY_SIZE 32

/* A message that came, or that waits to go: kfree() it. */
struct record {
    TAILQ_ENTRY(record) entry;
    size_t size;
    uint8_t data[] __attribute__((aligned(16)));
};
TAILQ_HEAD(record_list, record);

enum link_state {
    LINK_CLOSED = 0,
    LINK_GREETING, /* our nonce is out, theirs not in */
    LINK_OPEN,
    LINK_DEAD,
};

struct link {
    enum link_state state;
    uint32_t number;
    unsigned side;       /* 0 or 1; writes ring[side] */
    uint32_t peer;       /* process number of the other side, for the doorbell */
    bool peer_awake;     /* it had not to be woken for what was sent last */
    unsigned unrung;     /* records that were sent without a ring, while links are corked */
    bool quiet;          /* some were sent quietly since the last ring */
    const char *failure; /* of a dead link */
    uint8_t base_key[LINK_KEY_SIZE], nonce[32];
    host_ptr shared, out_ring, in_ring;
    uint32_t ring_size, head, tail; /* of our out ring, of our in ring */
    struct aes_gcm_key send_key, receive_key;
    uint64_t sent, received;  /* records */
    struct record_list queue; /* to be sent, first in first out */
    size_t queue_bytes;
    TAILQ_ENTRY(link) unrung_entry;
    struct wait_queue room_wait; /* woken when the queue has become empty, and when the link dies */
};

/* The kernel that gives a link out makes its shared words those of a new one, before either side opens it. */
void link_reset(uint32_t number);
/* Begin the handshake. peer: process number of the other side. */
void link_open(struct link *link, uint32_t number, unsigned side, uint32_t peer, const uint8_t base_key[LINK_KEY_SIZE]);
/* It is dead from now on, for this reason. */
void link_kill(struct link *link, const char *why);
/* Wipes keys, drops what waits to be sent. Its waiters must be gone. */
void link_close(struct link *link);

/*
 * Send a message of 1 to LINK_MESSAGE_MAX bytes and ring the other side; what the ring has no room for is copied and
 * queued. 0, -ENOMEM (nothing is sent), or -EPIPE on a dead link.
 */
must_check int link_send(struct link *link, const void *message, size_t size);
/* The same without a ring: for what can wait until something else is sent. */
must_check int link_send_quietly(struct link *link, const void *message, size_t size);
/* Was something sent quietly, and the other side not rung since? And: ring it. */
bool link_unrung(const struct link *link);
void link_ring(struct link *link);
/*
 * Between the two, who is sent several messages is rung every now and then, and at the end: so that it is not woken for
 * each. Nothing in between may sleep or give up the kernel lock. They nest.
 */
void link_cork(void);
void link_uncork(void);
/*
 * Would it go to the ring at once, or fail? And is there something to receive, or an end? Or has the other side just
 * greeted. May be asked without the kernel lock, by whoever sends, or receives.
 */
bool link_has_room(const struct link *link, size_t size);
bool link_has_message(const struct link *link);
/* Has the other side, as far as the host lets it be seen, read all that was sent? */
bool link_drained(const struct link *link);
/* Is something queued? Who sends much waits for this to become false (link_wait), so that the queue stays short. */
bool link_backlogged(const struct link *link);
/* Sleep, not interruptibly, until nothing is queued. 0 or -EPIPE. */
must_check int link_wait(struct link *link);
/* Get on with the handshake and the queue. To be called when the doorbell was rung. */
void link_poll(struct link *link);
/*
 * The next message: 0, -EAGAIN when there is none, -ENOMEM (it stays there), -EBADMSG once when the link dies of it
 * (link->failure says why), -EPIPE after that.
 */
must_check int link_receive(struct link *link, struct record **ret_record);
/* The same into dst, at most max bytes. -EMSGSIZE if it is longer: it stays there. */
must_check int link_receive_to(struct link *link, void *dst, size_t max, size_t *ret_size);

#endif
