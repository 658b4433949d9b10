/*
 * One step of a hostile world: the program in the container makes some call, or the host does something, honest or not.
 * Choices come from `choose`, so that a seed or a fuzzer's input replays them.
 */
#ifndef COFRE_TESTS_NET_HOSTILE_H
#define COFRE_TESTS_NET_HOSTILE_H

#include <stdint.h>

/* A number below limit. */
typedef uint32_t (*choose_fn)(uint32_t limit);

void hostile_init(choose_fn choose); /* after world_init() */
/* lies: out of 1000 steps, how many are lies. The kernel may end in host_lied(), that is longjmp(world.lie). */
void hostile_step(uint32_t lies);

#endif
