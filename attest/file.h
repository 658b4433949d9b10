/* Reading whole files of bounded size. */
#ifndef COFRE_ATTEST_FILE_H
#define COFRE_ATTEST_FILE_H

#include <stddef.h>

/* The bytes of a file ("-": standard input) and a NUL after them; malloc'd. NULL with *ret_error, also if it is longer
 * than size_max. */
char *attest_file_read(const char *path, size_t size_max, size_t *ret_size, char **ret_error);

#endif
