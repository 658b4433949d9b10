/* The client's side of a command in a running container (abi/exec.h), once it is connected. */
#ifndef COFRE_CLI_EXEC_SESSION_H
#define COFRE_CLI_EXEC_SESSION_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Sends the request (with its frame), then moves bytes between the standard streams and the connection until the
 * command has ended. Takes fd over. terminal: standard input is one and becomes raw meanwhile. The exit status for
 * `cofre exec`; what it was refused for is said on stderr.
 */
int exec_session(int fd, const char *name, const void *request, size_t size, bool terminal, bool input);

#endif
