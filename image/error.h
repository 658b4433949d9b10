/*
 * Errors of hosted code: a malloc'd line that gathers context on its way up. Every function that can fail takes
 * `char **ret_error` last, returns negative (or NULL) and sets it once; callers free it or pass it on.
 */
#ifndef COFRE_IMAGE_ERROR_H
#define COFRE_IMAGE_ERROR_H

/* Sets *ret_error (replacing what was there); returns -1 so that `return error_set(...)` reads well. */
int error_set(char **ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends ": strerror(errno_value)". */
int error_set_errno(char **ret_error, int errno_value, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts "CONTEXT: " before what is there; returns -1. */
int error_wrap(char **ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
