/* How much a test does (contract in soak.h). */
#include "soak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernel/crypto/crypto.h"

struct soak soak = {.times = 1, .seed = 1, .part = 1, .parts = 1};

void soak_begin(int argc, char **argv)
{
    const char *times = getenv("COFRE_SOAK"), *seed = getenv("COFRE_SEED"), *part = getenv("COFRE_PART");
    crypto_init();
    soak.on = times != NULL;
    if (times)
        soak.times = (unsigned)atoi(times);
    if (seed)
        soak.seed = strtoull(seed, NULL, 0);
    if (part) {
        char *rest;
        soak.part = (unsigned)strtoul(part, &rest, 10);
        soak.parts = *rest == '/' ? (unsigned)strtoul(rest + 1, &rest, 10) : 0;
        if (*rest || soak.part < 1 || soak.part > soak.parts)
            soak.times = 0;
    }
    if (soak.times == 0) {
        fputs("COFRE_SOAK is a number from 1, COFRE_PART is N/M\n", stderr);
        exit(2);
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
}

bool soak_mine(uint64_t number)
{
    return number % soak.parts == soak.part - 1;
}
