/*
 * Commands that the host has started in the running container (`cofre exec`), as far as the policy allows (exec.allow).
 * abi/exec.h is what is said. One task per connection is all of it: it makes a process that is nobody's child
 * (start.c), moves bytes between the connection and that process's pipes or terminal, and says how it ended
 * (session.c).
 */
#ifndef COFRE_KERNEL_COMMAND_COMMAND_H
#define COFRE_KERNEL_COMMAND_COMMAND_H

#include "abi/exec.h"
#include "kernel/fs/file.h"
#include "kernel/lib/types.h"
#include "kernel/remote/agent.h"
#include "kernel/sched/wait.h"

struct chan;
struct command_request;
struct process;
struct task;
struct tty;

#define COMMAND_QUEUES 12

struct command_session {
    struct chan *chan;
    struct wait_queue wait; /* news of it */
    struct task *task;
    bool news; /* something has happened since the last look */
    struct command_waiter {
        struct wait_entry entry;
        struct command_session *session;
    } waiters[COMMAND_QUEUES];
    unsigned waiter_count;

    struct process *process; /* referenced */
    struct file *input;      /* a pipe's end for writing, or a terminal's master; NULL: closed */
    struct file *output[2];  /* pipes' ends for reading, or the master and NULL */
    bool drop_input, drop_output[2];
    struct tty *tty; /* NULL: pipes */
    bool done;

    uint32_t input_left; /* bytes of the frame that is being read */
    struct agent agent;
    uint8_t buffer[4096];
};

/* Boot, after PID 1 is there: listen, if policy and host want it. */
void command_init(void);

/* The task of a connection. Frees the session. */
void command_session_run(void *session);
/* For `chan`: a frame that has room for sure, as on a new connection. */
void command_frame_put(struct chan *chan, uint32_t type, const void *data, size_t size);

/*
 * Make the process and start its program: session->process and the files are set. 0; or the exit status for
 * EXEC_REFUSED and why in text. Sleeps.
 */
must_check int command_start(struct command_session *session, const struct command_request *request, char *text,
                             size_t size);

#endif
