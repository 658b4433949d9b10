/*
 * What a program needs that no other program started: the container's first one (init.c), and one that the host asks
 * for later (kernel/command). User, environment and program as docker has them, within the policy. Statuses and texts
 * are for whoever runs `cofre`.
 */
#ifndef COFRE_KERNEL_PROCESS_START_H
#define COFRE_KERNEL_PROCESS_START_H

#include "kernel/lib/types.h"

struct credentials;
struct exec;

#define START_TIMER_SLACK_NS 50000

/* An errno in words. */
const char *start_reason(int error);
/* May the host set this variable? True; or false and why in text. */
must_check bool start_env_ok(const char *entry, char *text, size_t size);
/*
 * exec->envp: the policy's variables, then those the host set (checked, NUL-terminated, back to back) where they do not
 * name the same, then what docker always sets. 0, -E2BIG or -ENOMEM.
 */
must_check int start_build_env(struct exec *exec, const char *host, size_t size, bool terminal, const char *home);
/*
 * Who `spec` is ("uid[:gid]" or names of the image's own files; "": the policy's user), and where at home. True; or
 * false and why in text. Reads files as the current process.
 */
must_check bool start_set_user(struct credentials *credentials, const char *spec, char home[256], char *text,
                               size_t size);
/* Find exec->argv's first along exec->envp's PATH and exec_open() it. 0 or negative errno. */
must_check int start_open(struct exec *exec);
/* docker's exit status for a command that could not be started, and why in text. */
int start_failure(const char *command, int error, char *text, size_t size);

#endif
