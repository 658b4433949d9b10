/*
 * One step of a hostile world: the program in the container makes some call, or the host does something, honest or not.
 * Choices come from `choose`, so that a seed or a fuzzer's input replays them.
 */
#ifndef COFRE_TESTS_NET_HOSTILE_H
#define COFRE_TESTS_NET_HOSTILE_H

#include <stdint.h>

#include "abi/ring.h"

/* A number below limit. */
typedef uint32_t (*choose_fn)(uint32_t limit);

/* What a host that lies writes into a channel's shared words, and into a queue; any(): a number. */
void hostile_channel(struct channel *channel, choose_fn choose_below, uint32_t (*any)(void));
void hostile_queue(struct arena_queue *queue, choose_fn choose_below, uint32_t (*any)(void));

void hostile_init(choose_fn choose); /* after world_init() */
/* lies: out of 1000 steps, how many are lies. The kernel may end in host_lied(), that is longjmp(world.lie). */
void hostile_step(uint32_t lies);

#endif
