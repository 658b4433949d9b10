#!/bin/sh
# Makes the table of system call names from <asm/unistd_64.h>: syscall-names.sh OUTPUT CC...
set -e
output=$1; shift
{
    echo "/* Made by syscall-names.sh. */"
    echo "static const char *const syscall_names[] = {"
    echo '#include <asm/unistd_64.h>' | "$@" -E -dM -x c - |
        sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9]*\)$/    [\2] = "\1",/p' | sort
    echo "};"
    echo "#define SYSCALL_NAME_COUNT (sizeof(syscall_names) / sizeof(syscall_names[0]))"
} >"$output"
