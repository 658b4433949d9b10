/* How much a test does: a little for each commit, as much as the environment says in `make soak`. */
#ifndef COFRE_TESTS_VOLUME_SOAK_H
#define COFRE_TESTS_VOLUME_SOAK_H

#include <stdbool.h>
#include <stdint.h>

struct soak {
    bool on;              /* all of what can be enumerated, not a sample */
    unsigned times;       /* COFRE_SOAK: how many times as many seeds; 1 */
    uint64_t seed;        /* COFRE_SEED: the first; 1 */
    unsigned part, parts; /* COFRE_PART=part/parts, from 1: of an enumeration every parts-th; 1/1 */
};
extern struct soak soak;

/* Reads the environment, and the arguments of the test program: the name of the test, with wildcards, or none. */
void soak_begin(int argc, char **argv);
/* Whether this part does this number of an enumeration. */
bool soak_mine(uint64_t number);

#endif
