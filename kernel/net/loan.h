/*
 * Lending connections between enclaves. A connected TCP socket of the outside lies in the init enclave, where
 * descriptors refer to it. While one process alone has it, that process's enclave may borrow it: a socket of its own
 * over the same channel of the arena, which it reads, writes and polls without asking anybody. The lender's socket then
 * has operations that call it back first.
 *
 * A member may also accept by itself (tcp_share()): its own host process's pump serves such a connection, of which the
 * lender hears later, if at all. To give it back is to hand it over to the lender's pump, too.
 *
 * Which socket is lent to whom, and the messages, are kernel/remote's affair (lender.c, borrower.c). All under the
 * kernel lock.
 */
#ifndef COFRE_KERNEL_NET_LOAN_H
#define COFRE_KERNEL_NET_LOAN_H

#include "kernel/net/channel.h"

struct file;
struct tcp_socket;
struct wait_entry;

/* What a borrower's socket answers when it has been called back and nothing was moved: ask the lender instead. */
#define ERECALLED 540

#define TCP_LOAN_OPTIONS 28

/* All that a connection is besides the bytes in its rings. */
struct tcp_loan {
    struct chan_loan chan;
    int32_t family, chan_family;
    uint8_t local_ip[16], peer_ip[16];
    uint32_t local_scope, peer_scope;
    uint16_t local_port, peer_port;
    uint64_t rx_bytes, tx_bytes;
    uint32_t ended, error_taken, tx_closed, rx_fin, v6only;
    int32_t error, peek_off;
    uint32_t shutdown;
    uint32_t rcvlowat, rcvbuf, sndbuf, priority, mark;
    uint64_t rcv_timeout_ns, snd_timeout_ns;
    uint64_t options;
    int32_t linger_on, linger_seconds;
    uint32_t options_set;
    int32_t option_values[TCP_LOAN_OPTIONS];
    char congestion[16];
    uint32_t file_flags; /* O_* */
    uint32_t pad;
};

struct tcp_loan_ops {
    /* The lender's. The host says something of a lent connection. */
    void (*news)(struct tcp_socket *t);
    /* Ask for it back, once; tcp_loan_end() or tcp_loan_lost() follows. Must not sleep. */
    void (*recall)(struct tcp_socket *t);
    /* The lender's. A listening socket that is shared has a connection that is only to be had there. Must not sleep. */
    void (*unshare)(void);
    /* The borrower's: its last reference is going. To give the socket back; must not sleep. */
    void (*closed)(struct tcp_socket *t);
};
void tcp_loan_ops_set(const struct tcp_loan_ops *ops);

/* Is file such a connection, referred to `references` times and not waited for, polled or used by anybody? */
bool tcp_lendable(const struct file *file, unsigned references);
/*
 * The size of the name (struct sockaddr_in or _in6) of a listening TCP socket, which stays what it is for as long as it
 * listens; 0: file is none.
 */
int tcp_listening_name(struct file *file, void *ret_addr);
/* The connection behind a file that is one. */
struct tcp_socket *tcp_of_file(struct file *file);
unsigned tcp_recalls(const struct tcp_socket *t); /* so often was it lent and came back */
/* loan: the caller's; free after one of the two below. */
void tcp_lend(struct tcp_socket *t, void *loan, struct tcp_loan *ret_loan);
void tcp_loan_end(struct tcp_socket *t, const struct tcp_loan *loan);
bool tcp_loan_ok(const struct tcp_loan *loan); /* may it be ended so? */
/* The borrower is gone without a word: what it sent goes out, and the connection ends. */
void tcp_loan_lost(struct tcp_socket *t);
/* Frees what came back and whose last descriptor was closed meanwhile. */
void tcp_release_closed(struct tcp_socket *t);
/* What was said of it by whoever lent or borrowed it; its channel; its file, NULL once that is closed. */
void *tcp_loan_of(const struct tcp_socket *t);
uint32_t tcp_channel(const struct tcp_socket *t);
struct file *tcp_file(const struct tcp_socket *t);
/* Those of fcntl(F_SETFL); while it has a file. */
void tcp_set_file_flags(struct tcp_socket *t, unsigned flags);
/* The socket that has this lent channel, or NULL. And: it is to be made dirty. */
struct tcp_socket *tcp_lent(uint32_t channel);
void tcp_lent_dirty(struct tcp_socket *t);

/* A connection that began with a borrower, which has it. A file for it. 0, -ENOMEM, or -EPROTO. */
must_check int tcp_foreign(const struct tcp_loan *loan, void *loan_of_lender, struct file **ret_file);
/*
 * May another enclave accept connections of this listening socket? Then its host does so only on demand, and *ret_loan
 * is what connections have from it.
 */
bool tcp_share(struct file *file, struct tcp_loan *ret_loan);
bool tcp_shared(struct file *file);
/* It has one that only this enclave can accept. */
void tcp_share_end(struct tcp_socket *t);

/* The borrower's side. A file for it. 0, -ENOMEM, or -EPROTO if there can be no such connection. */
must_check int tcp_borrow(const struct tcp_loan *loan, void *borrowed, struct file **ret_file);
/* The socket behind a file if it is borrowed and was not given back; or NULL. */
struct tcp_socket *tcp_borrowed(struct file *file);
struct tcp_socket *tcp_borrowed_channel(uint32_t channel);
/* From now on all that is tried with it is ERECALLED; whoever sleeps on it wakes. */
void tcp_give_back(struct tcp_socket *t, struct tcp_loan *ret_loan);
/* Is a call moving its bytes? Then it is asked back, which that call hears of, and given back at the end of it. */
bool tcp_in_use(const struct tcp_socket *t);
void tcp_ask_back(struct tcp_socket *t);
bool tcp_recalled(const struct tcp_socket *t); /* asked back, or given back */
/* A listening socket of this enclave's own over the same host socket: a file for it, or -errno. */
must_check int tcp_share_begin(const struct tcp_loan *loan, struct file **ret_file);
/* Who accepts from it does so no more. */
void tcp_share_close(struct file *file);
bool tcp_share_closed(struct file *file);
/* As accept(2), without waiting; and wait, interruptibly, until it may succeed. */
must_check int tcp_share_accept(struct file *file, struct tcp_socket **ret_accepted);
must_check int tcp_share_wait(struct file *file);
/* Is there a connection to accept? 0 or 1; if not, who waits there hears of one. */
int tcp_share_ready(struct file *file);
void tcp_share_watch(struct file *file, struct wait_entry *entry); /* and of its end */
void tcp_drop(struct tcp_socket *accepted);
/* Such a connection becomes as a borrowed one: the file, or NULL (it is closed then). flags: those of accept4(2). */
struct file *tcp_begin(struct tcp_socket *accepted, void *borrowed, unsigned flags);
#define TCP_NAME_MAX 28
int tcp_peer_name(struct tcp_socket *t, void *ret_addr);                  /* the size of the address, or -errno */
void tcp_loan_now(const struct tcp_socket *t, struct tcp_loan *ret_loan); /* what it is */
void tcp_give(struct tcp_socket *t);                                      /* its channel, before it is given back */
void tcp_leave(struct tcp_socket *t);                                     /* closed, by this enclave's pump */
/* May this option be set there? Not what the host must be told of. */
bool tcp_borrowed_option(const struct tcp_socket *t, int level, int name);
/* The host says something of it. */
void tcp_borrowed_news(struct tcp_socket *t);

#endif
