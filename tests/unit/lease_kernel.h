/*
 * What leases and posts need of the rest of both kernels, as small as can be: two members with a process each, files
 * that are a few, a link in which everything waits until it is to arrive, system calls of the init enclave. For
 * lease_world.c; files are in lease_files.c.
 */
#ifndef COFRE_TESTS_LEASE_KERNEL_H
#define COFRE_TESTS_LEASE_KERNEL_H

#include <setjmp.h>

#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/file.h"
#include "kernel/fs/vfs.h"
#include "kernel/process/remote_ops.h"
#include "kernel/remote/lease_message.h"
#include "kernel/remote/server.h"
#include "kernel/sched/task.h"

#define FAIL(text) hosted_abort("leases: " text)
#define FDS 24
#define PATHS 5
#define CONTENTS 48
#define OUTPUT_FD 1

extern struct input in;
uint8_t byte(void);

extern uint64_t now;
extern struct task the_task;
extern bool hostile;
extern jmp_buf over; /* the member's kernel gave up, as it may in a hostile world */

/* ---- the two processes, and the members they are in ---- */

struct remote_member {
    uint32_t number;
    struct link link;
    bool dead;
};

struct fd_table {
    struct file *files[FDS];
    bool cloexec[FDS];
};

extern struct remote_member members[2];
extern struct fd_table there[3], here; /* the init enclave's tables (the last is PID 1's), and the first member's own */
extern struct remote_process remotes[2];
extern struct process init_side[2], member_side;
extern struct process pid1, *runs_for; /* whose call it is */

int lowest(const struct fd_table *table); /* that is free; or -1 */

/* ---- files ---- */

struct dentry {
    unsigned refcount;
    struct inode *inode;
};

/* Of each file it can be asked how the socket is called that it is, too. */
struct world_file {
    struct inode inode;
    struct dentry dentry;
    uint8_t contents[CONTENTS];
    uint8_t socket_name;
    bool listening, shared; /* and other enclaves accept from it */
    uint32_t option;        /* what its connections have from it */
    uint32_t mode;          /* as the member's process last set it */
};

extern struct world_file *names[PATHS];
extern struct mount root_mount;
extern const struct file_ops world_file_ops;

struct world_file *world_file_new(uint8_t seed, bool elsewhere);
struct world_file *world_of(const struct file *file);
/* No two pieces of it are the same. */
void set_contents(struct world_file *f, uint8_t seed);
void path_text(uint64_t number, char *text);

/* What came to user memory last: by path, a socket's name, contents. */
extern uint64_t stat_uid, stat_size;
extern uint8_t name_read, was_read[CONTENTS];
/* What the connection that was accepted last has from the socket, as it was said to be. */
extern uint32_t accepted_option;

/* ---- the link: what was sent and has not arrived ---- */

extern struct record_list to_init, to_member;
extern void (*init_handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);
extern void (*member_handlers[MESSAGE_TYPE_MAX])(struct record *record);
extern bool second_has_leases; /* it does not give them back, nor answers, when it is asked */

struct record *record_new(const void *message, size_t size);
void arrive_in_init(void);
void arrive_in_member(void);
void drop_queue(struct record_list *list);
/* What the first member keeps: not this lease any more; 0: none. */
void has_no_more(uint64_t id);

/* ---- output, and system calls ---- */

extern uint8_t output_expected, output_came; /* bytes count up */
extern size_t output_reserved;
extern bool output_broken;
extern uint8_t change_seed; /* of what the next change changes something to */

void output(const uint8_t *bytes, size_t size);
void calls_begin(void);
extern uint32_t mode_seen; /* by the last fstat */
int64_t call_there(size_t process, uint64_t nr, uint64_t a, uint64_t b, uint64_t c);
/* The same by PID 1, by its descriptor of this file. */
int64_t call_of_pid1(uint64_t nr, struct world_file *f, uint64_t b);
/* A call that the first member delegates, its reply, and what goes before that. */
int64_t delegate(uint64_t nr, const uint64_t args[6]);

#endif
