/* Errors of hosted code: a message that says what failed, why and what to do, handed up by `char **ret_error`. */
#ifndef COFRE_HOST_ERROR_H
#define COFRE_HOST_ERROR_H

/*
 * Store a newly allocated message in *ret_error (an earlier one is freed) and return -code, so that callers can write
 * `return fail(ret_error, errno, "opening %s: %s", path, strerror(errno))`. ret_error may be NULL.
 */
int fail(char **ret_error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Print "cofre: ..." on stderr as one write. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As complain, then end with docker's status for "the runtime itself failed". Restores the terminal. */
#define EXIT_RUNTIME_FAILED 125
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
