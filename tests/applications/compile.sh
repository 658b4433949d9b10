#!/bin/bash
# Twenty C files and a program of them by `make -j2`; prints digests of what was made, and what the program says.
set -eu
export LC_ALL=C SOURCE_DATE_EPOCH=0
rm -rf "$1"
mkdir "$1"
cd "$1"
for i in $(seq 20); do
    cat >part$i.c <<SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "parts.h"
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
unsigned part$i(unsigned seed)
{
    int numbers[200];
    char text[64];
    for (int n = 0; n < 200; n++)
        numbers[n] = (int)((seed = seed * 1103515245 + 12345 + $i) >> 16 & 0x7fff);
    qsort(numbers, 200, sizeof(*numbers), compare);
    snprintf(text, sizeof(text), "%d %.3f", numbers[100], sqrt(numbers[$i]));
    for (const char *p = text; *p; p++)
        seed = seed * 31 + (unsigned char)*p;
    return seed;
}
SOURCE
done
for i in $(seq 20); do echo "unsigned part$i(unsigned seed);"; done >parts.h
{
    echo '#include <stdio.h>'
    echo '#include "parts.h"'
    echo 'int main(void) { unsigned seed = 1;'
    for i in $(seq 20); do echo "seed = part$i(seed); printf(\"%08x\\n\", seed);"; done
    echo 'return 0; }'
} >main.c
cat >Makefile <<'MAKE'
CFLAGS := -O2 -g -Wall
objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
	$(CC) -o $@ $^ -lm
%.o: %.c parts.h
	$(CC) $(CFLAGS) -c -o $@ $<
MAKE
make -s -j2
sha256sum *.o program
./program
touch part7.c
make -j2
ar rcsD parts.a part*.o
nm parts.a | grep -c ' T '
