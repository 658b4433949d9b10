/*
 * `cofre exec`: what it and the kernel of the init enclave say to each other, over a stream that the host's pump
 * carries as it carries any socket. Both sides send frames: a struct exec_frame, then `size` bytes. Numbers are
 * little-endian.
 *
 * The client sends one EXEC_REQUEST, then EXEC_INPUT, EXEC_INPUT_END and EXEC_WINDOW as they come. The kernel answers
 * with EXEC_REFUSED and nothing else; or with EXEC_STARTED, any number of EXEC_OUTPUT and EXEC_ERRORS, and EXEC_ENDED.
 * Then it closes. A stream that ends without EXEC_REFUSED or EXEC_ENDED: the container has ended. A client that closes
 * takes the command's standard streams with it.
 *
 * To the kernel all of it is the host's word, to the client the enclave's as far as the host lets it through.
 */
#ifndef COFRE_ABI_EXEC_H
#define COFRE_ABI_EXEC_H

#include <stdint.h>

enum exec_frame_type {
    EXEC_REQUEST = 1,   /* struct exec_request and its strings */
    EXEC_INPUT = 2,     /* bytes for standard input, or the terminal */
    EXEC_INPUT_END = 3, /* there are no more */
    EXEC_WINDOW = 4,    /* struct exec_window: the terminal's size */
    EXEC_STARTED = 5,   /* the command runs */
    EXEC_OUTPUT = 6,    /* bytes of standard output, or the terminal's */
    EXEC_ERRORS = 7,    /* bytes of standard error */
    EXEC_REFUSED = 8,   /* struct exec_end, then why, as text */
    EXEC_ENDED = 9,     /* struct exec_end */
};

struct exec_frame {
    uint32_t type, size;
};

#define EXEC_REQUEST_MAX (1U << 20)
#define EXEC_DATA_MAX (64U << 10) /* of a frame with bytes */
#define EXEC_TEXT_MAX 512U

#define EXEC_VERSION 1

enum exec_flags {
    EXEC_TTY = 1 << 0,       /* a terminal rather than pipes */
    EXEC_HAS_INPUT = 1 << 1, /* standard input is the client's; else it is empty */
};

struct exec_window {
    uint16_t rows, columns;
};

/* Followed by the strings, in this order and with nothing between. */
struct exec_request {
    uint32_t version; /* EXEC_VERSION */
    uint32_t flags;   /* enum exec_flags */
    struct exec_window window;
    uint32_t arguments_size;   /* NUL-terminated strings back to back; at least one */
    uint32_t environment_size; /* "NAME=VALUE\0"... */
    uint32_t user_size;        /* no NUL; 0: the policy's */
    uint32_t folder_size;      /* working directory; no NUL; 0: the policy's */
};

struct exec_end {
    uint32_t status; /* exit status as a shell gives it: 128 + signal for one that was killed; refused: 125, 126, 127 */
};

#endif
