/* What the parts of borrower_world.h have in common: connections, and who does what with them. */
#ifndef COFRE_TESTS_BORROWER_PARTS_H
#define COFRE_TESTS_BORROWER_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "borrower_world.h"
#include "hosted_libc.h"
#include "kernel/net/loan.h"
#include "net_world.h"

#define FAIL(text) hosted_abort("borrowed connections: " text)
#define CONNECTIONS 12U
#define LENT 6U     /* of them, at the beginning; the others begin here */
#define LISTENER 6U /* the init enclave's channel */
#define LISTENER_FD 3
#define FIRST_FD 10
#define SETS 3U
#define FIRST_SET 100
#define FIRST_FILE 1000
#define DATA_THERE (1ULL << 60) /* of what is in the init enclave's part of a set */

#define count(what) (borrower_world_counts->what++)

extern enum borrower_liar { HONEST, INIT_LIES, HOST_LIES } who;

/* A connection as the init enclave, the host's peer and the program know it. */
extern struct connection {
    struct tcp_loan state;  /* as it came back last */
    uint64_t id;            /* of the loan; 0: it is not lent, or nobody was told of it */
    uint32_t channel;       /* 0: none, and its descriptor is free */
    bool own;               /* the member's own pump has it */
    bool cloexec, nonblock; /* as it was accepted */
    unsigned busy;          /* calls of the program that go on */
    bool recalled, news, closed;
    bool to_check;                    /* it came back: when the call is over, that must be how far the program came */
    uint32_t put, taken;              /* by the peer, into and out of the rings */
    uint32_t read, written;           /* by the program */
    uint32_t read_then, written_then; /* when no call was running last */
    bool begun;                       /* the init enclave was told of it meanwhile: so far */
    uint32_t begun_read, begun_written;
    struct {
        bool set, there; /* in that set; in the init enclave's part */
        uint64_t data;
    } watches[SETS];
} connections[CONNECTIONS];

extern unsigned changes[SETS]; /* of what sets watch */
extern unsigned in_call;       /* of the program */

/* The listening socket of the init enclave's that the member has one of its own of. */
extern struct sharing {
    struct file *file; /* NULL: it has none */
    uint32_t channel;
} sharing;
extern uint32_t just_accepted; /* by the host, for the member: the channel */

/* ---- borrower_world.c ---- */

uint32_t choose(uint32_t limit); /* by the input: a number below limit */
uint32_t word(void);             /* anything a liar may write */

int fd_of(const struct connection *c);
struct connection *connection_of_fd(int fd);    /* NULL: it is of none */
struct tcp_loan a_connection(uint32_t channel); /* as one is that has begun */
bool is_untold(const struct connection *c);     /* nobody but the program and its host knows of it; also of NULL */
void closes(struct connection *c); /* no set watches it any more; when nobody has it, its channel is free */

/* The bytes that a connection is to carry from there on, and that it carried them; sent: by the program. */
void fill(const struct connection *c, uint8_t *bytes, size_t size, uint32_t at, bool sent);
void check(const struct connection *c, const uint8_t *bytes, size_t size, uint32_t at, bool sent);

void host_pumps(void); /* what its pump does by itself: of the member's, too */

/* By the init enclave; called back now, or at the end of the call that moves bytes. */
void lend(struct connection *c);
void recall(struct connection *c);

void meanwhile(void); /* whatever the others do while a call of the program sleeps */

/* ---- borrower_program.c ---- */

void program_acts(void);
void another_thread_acts(void); /* while a call of the first one sleeps */
void end_sharing(void);

#endif
