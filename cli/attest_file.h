/* Small things that the commands about evidence share: files and times. */
#ifndef COFRE_CLI_ATTEST_FILE_H
#define COFRE_CLI_ATTEST_FILE_H

#include <stddef.h>
#include <stdint.h>

/* A whole file of at most 4 MiB ("-": standard input), malloc'd, with a NUL after it; NULL with *ret_error. */
char *attest_file_load(const char *path, size_t *ret_size, char **ret_error);

/* "2026-11-28T13:00:00Z", "2026-11-28", or seconds since 1970; -1 if it is none of these. */
int attest_time_parse(const char *text, int64_t *ret_seconds);

#endif
