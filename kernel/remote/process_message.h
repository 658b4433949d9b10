/*
 * Messages about processes between the init enclave and members: what travels besides delegated system calls
 * (message.h). A struct message comes first in each; a request of a member (marked R) is answered by a message of the
 * same type and request.
 */
#ifndef COFRE_KERNEL_REMOTE_PROCESS_MESSAGE_H
#define COFRE_KERNEL_REMOTE_PROCESS_MESSAGE_H

#include "abi/policy.h"
#include "kernel/mm/expected.h"
#include "kernel/process/process.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/signal.h"
#include "kernel/remote/message.h"

enum process_message_type {
    /* to init */
    MESSAGE_HELLO = MESSAGE_HANDLED, /* a member is up, and nobody yet; or nobody again */
    MESSAGE_STARTED,                 /* what was adopted runs; its stream is read */
    MESSAGE_DROP_CHILD,              /* struct number_message: pid of a child that is not to be */
    MESSAGE_EXITED,                  /* struct exited_message */
    MESSAGE_STOPPED,                 /* struct number_message: the signal */
    MESSAGE_CONTINUED,
    MESSAGE_TID_PUT,        /* struct number_message */
    MESSAGE_ABANDON,        /* struct number_message: pid of a child that could not be sent: kill it */
    MESSAGE_SENT,           /* struct number_message: pid of a child whose stream is whole: its sender may end */
    MESSAGE_HANDLE_PUT,     /* struct handle_message: `count` of its references */
    MESSAGE_NEW_CHILD,      /* R: struct fork_message */
    MESSAGE_FORK,           /* R: struct fork_message */
    MESSAGE_EXEC_AWAY,      /* R: struct message: that process */
    MESSAGE_START_WAIT,     /* R: struct number_message: until the process of this pid runs, or has ended */
    MESSAGE_EXEC_OPEN,      /* R: struct exec_open_message */
    MESSAGE_EXECED,         /* R: struct execed_message */
    MESSAGE_TIDS_GET,       /* R: struct message */
    MESSAGE_GROUP_ORPHANED, /* R: struct message */
    MESSAGE_HANDLE_GET,     /* R: struct number_message: the descriptor */
    MESSAGE_HANDLE_READ,    /* R: struct handle_message: `count` pages from `index` on */
    MESSAGE_SHOWN,          /* struct shown_message */
    MESSAGE_PENDING,        /* struct number_message: the set of signals that wait; tid 0: for the process */
    MESSAGE_SIGNAL_TAKEN,   /* struct signal_taken_message */
    /* to a member */
    MESSAGE_ADOPT,       /* struct adopt_message */
    MESSAGE_SIGNAL,      /* struct signal_message */
    MESSAGE_SIGNAL_TAKE, /* struct signal_take_message */
    MESSAGE_SHOW,        /* struct show_message */
    MESSAGE_CUT,         /* struct number_message: id of a stream whose other end is gone */
    /* shared_message.h: to init */
    MESSAGE_SHARED_GET,
    MESSAGE_SHARED_BACK,
    MESSAGE_SHARED_NEW, /* R */
    MESSAGE_FUTEX_WAIT,
    MESSAGE_FUTEX_CANCEL,
    MESSAGE_FUTEX_WAKE,    /* R, unless the request is 0 */
    MESSAGE_FUTEX_REQUEUE, /* R */
    /* to a member */
    MESSAGE_SHARED_GRANT,
    MESSAGE_SHARED_TAKE,
    MESSAGE_FUTEX_WOKEN,
    /* guesses, to init; the first also to a member, of a child of a process there */
    MESSAGE_TOUCHED,  /* struct touched_message */
    MESSAGE_EXPECTED, /* struct expected_message */
    /* loan_message.h: to a member */
    MESSAGE_LOAN,
    MESSAGE_LOAN_RECALL,
    MESSAGE_LOAN_NEWS,
    MESSAGE_WATCH_FIRED,
    /* to init */
    MESSAGE_LOAN_RETURN,
    MESSAGE_LOAN_FLAGS,
    MESSAGE_LOAN_DIRTY,
    MESSAGE_LOAN_BEGUN,
    MESSAGE_WATCH,
    MESSAGE_IMAGE_KEY, /* R: struct message: the key that a key server released. Nobody need run there yet */
    /* frames.h: to a member */
    MESSAGE_FRAMES,
    /* to init */
    MESSAGE_FRAMES_READ,
    /* lease_message.h: to a member */
    MESSAGE_LEASE,
    MESSAGE_LEASE_MORE,
    MESSAGE_LEASE_BREAK,
    MESSAGE_LEASE_ASSURANCE,
    MESSAGE_LEASE_LISTENER,
    /* to init */
    MESSAGE_LEASE_OPENED,
    MESSAGE_LEASE_DROP,
    MESSAGE_LEASE_MODE,
    MESSAGE_LEASE_BROKEN,
    /* post_message.h: to a member */
    MESSAGE_POST_GRANT,
    /* to init */
    MESSAGE_POST,
    MESSAGE_POST_DROP,
    MESSAGE_RENEW, /* R: struct message: its last process has ended; the answer is not 0 if it may be nobody again */
    /* to init */
    MESSAGE_HANDLE_SYNC,  /* R: struct handle_message: the file is made durable, as by fsync */
    MESSAGE_CHILD_ACTION, /* struct number_message: what becomes of SIGCHLD, enum child_action */
    /* to a member */
    MESSAGE_LIMIT, /* struct limit_message: another process has changed it */
    /* lease_message.h: to a member */
    MESSAGE_LEASE_SYNC,
    /* to init */
    MESSAGE_LEASE_SYNCED,
    /* pipe_message.h: to a member */
    MESSAGE_PIPE_LEND,
    MESSAGE_PIPE_RECALL,
    /* to init */
    MESSAGE_PIPE_RETURN,
    MESSAGE_PIPE_UNWANTED,
};
_Static_assert((int)MESSAGE_PIPE_UNWANTED < (int)MESSAGE_TYPE_MAX, "all types have a place");

/* Answers that carry a result alone, and messages that carry a number. */
struct number_message {
    struct message message;
    int64_t number;
};

enum child_action {
    CHILD_ACTION_IGNORE = 1,     /* SIG_IGN */
    CHILD_ACTION_NO_ZOMBIES = 2, /* SA_NOCLDWAIT */
    CHILD_ACTION_NO_STOPS = 4,   /* SA_NOCLDSTOP */
};

struct exited_message {
    struct message message;
    int64_t wait_status;
    struct process_usage usage;
};

/* Pages that a forked process touched and was not sent (kernel/mm/touched.h), by number. */
struct touched_message {
    struct message message;
    uint32_t count;
    uint32_t pages[];
};

/* What the process's program touched. */
struct expected_message {
    struct message message;
    struct expected expected;
};

struct signal_message {
    struct message message; /* tid 0: the process */
    struct signal_source source;
};

struct limit_message {
    struct message message;
    uint64_t resource;
    struct rlimit64 limit;
};

/* Take a signal of the set that waits for this thread or the process; and which one it was. */
struct signal_take_message {
    struct message message;
    uint64_t number; /* the answer has it too */
    uint64_t set;
};

struct signal_taken_message {
    struct message message;
    uint64_t number;
    struct signal_source source; /* signal 0: none */
};

struct fork_message {
    struct message message;
    uint64_t flags; /* CLONE_* */
    int32_t exit_signal;
    struct signal_action actions[64]; /* of the caller's process */
};

/* Where the other end of a stream is, and the key that only the two have. */
struct stream_place {
    uint32_t number; /* of the link */
    uint32_t peer;   /* process number of the other side */
    uint64_t id;     /* never used again, as the number is */
    uint8_t key[LINK_KEY_SIZE];
};

struct fork_answer {
    struct message message;
    int32_t result; /* pid or -errno */
    int32_t pidfd;
    struct stream_place stream;
};

enum adopt_how { ADOPT_FORK, ADOPT_EXEC };

/* Become this process. Its memory and first thread, or its program, come by the stream. */
struct adopt_message {
    struct message message;
    uint32_t how; /* enum adopt_how */
    struct stream_place stream;
    int32_t ppid, pgid, sid, exit_signal;
    int32_t dumpable, no_new_privs, oom_score_adj, nice;
    uint32_t personality;
    uint64_t start_ns;
    char comm[16];
    struct credentials credentials;
    struct rlimit64 limits[RLIM_NLIMITS];
    struct signal_action actions[64];
    char hostname[65];
};

struct image_key_message {
    struct message message;
    uint8_t key[IMAGE_KEY_SIZE];
};

#define TIDS_BLOCK 8
struct tids_answer {
    struct message message;
    int32_t count; /* or -errno */
    int32_t tids[TIDS_BLOCK];
};

struct handle_message {
    struct message message;
    uint64_t handle, index;
    uint32_t count;
};

#define FILE_PATH_MAX 1024

/* A file that a member maps: what its own struct file and inode show. */
struct file_info {
    uint64_t handle;
    uint64_t nid;    /* unchanged file of the root image: read it there; 0: by the handle */
    uint64_t object; /* its pages are shared with others by this name; 0: they are not */
    uint64_t dev, ino;
    int64_t size;
    uint32_t mode, uid, gid;
    uint32_t flags;           /* O_* access mode */
    char path[FILE_PATH_MAX]; /* as /proc/PID/maps shows it; the last part if it is longer */
};

struct file_answer {
    struct message message;
    int64_t result;
    struct file_info info;
};

#define HANDLE_READ_MAX 16
struct read_answer {
    struct message message;
    int64_t result; /* pages, or -errno */
    uint8_t pages[];
};

/* A file of /proc about a process of the member; and its text, in pieces. */
struct show_message {
    struct message message; /* tid: of a thread; 0: of the process */
    uint64_t number;        /* the answers have it too */
    char name[24];
};

struct shown_message {
    struct message message;
    uint64_t number;
    int32_t result; /* 1: there is more; 0: the last piece; -errno */
    uint32_t size;  /* of the text that follows */
    uint8_t text[];
};

struct execed_message {
    struct message message;
    uint64_t program; /* handle */
    uint32_t size;    /* bytes of the command line that follow, cut to what fits */
    char comm[16];
    uint8_t command_line[];
};
#define COMMAND_LINE_MAX 0x8000

#endif
