/*
 * Tests of a world in which somebody says anything: what happens in it is chosen by bytes that a seed makes, thousands
 * of seeds one after the other. The seed is named when the sanitizers find something.
 *   test-NAME [SEED [COUNT]]
 */
#ifndef COFRE_TESTS_HOSTILE_H
#define COFRE_TESTS_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hostile_test {
    unsigned long seeds; /* so many, unless the command line says otherwise */
    size_t size;         /* bytes for each */
    void (*run)(const uint8_t *bytes, size_t size);
    void (*check)(unsigned long seeds); /* afterwards: did all of it happen? */
    bool forks;                         /* each seed in a process of its own, for state that cannot be made new */
};

/* main() of such a test. */
int hostile_main(int argc, char **argv, const struct hostile_test *test);

#endif
