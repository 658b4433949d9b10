/* What `cofre exec` asks for: hostile bytes, taken apart and held against the policy. */
#ifndef COFRE_KERNEL_COMMAND_REQUEST_H
#define COFRE_KERNEL_COMMAND_REQUEST_H

#include "abi/exec.h"
#include "kernel/lib/types.h"

/* All of it lies in the bytes that were decoded, NUL-terminated. */
struct command_request {
    bool terminal, has_input;
    struct exec_window window;
    const char *arguments, *environment; /* strings back to back */
    size_t arguments_size, environment_size;
    const char *user, *folder; /* "": the policy's */
};

/*
 * bytes has room for two more than size, which are written. NULL, or what is wrong with it.
 */
const char *command_request_decode(char *bytes, size_t size, struct command_request *ret);
/* Does the policy allow it? True, or false and why in text. */
must_check bool command_request_allowed(const struct command_request *request, char *text, size_t size);

#endif
