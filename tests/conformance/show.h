/* Shared by the conformance programs: print an expression with its value, and errno's name when it is -1. */
#ifndef SHOW_H
#define SHOW_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOW(expression)                                                                                               \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long show_value_ = (long)(expression);                                                                         \
        int show_errno_ = errno;                                                                                       \
        printf("%s: %ld", #expression, show_value_);                                                                   \
        if (show_value_ == -1)                                                                                         \
            printf(" %s", show_errno_ ? strerrorname_np(show_errno_) : "no error");                                    \
        printf("\n");                                                                                                  \
        fflush(stdout);                                                                                                \
    } while (0)

#endif
