#!/bin/sh
# Prints SYSCALL(name, number) for every system call of <asm/unistd_64.h>. $@ = the C preprocessor.
echo '#include <asm/unistd_64.h>' | LC_ALL=C "$@" -E -dM - |
    LC_ALL=C awk '$1 == "#define" && $2 ~ /^__NR_/ && $3 ~ /^[0-9]+$/ { print $3, substr($2, 6) }' |
    LC_ALL=C sort -n | awk '{ printf "SYSCALL(%s, %s)\n", $2, $1 }'
