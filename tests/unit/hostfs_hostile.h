/*
 * Folders of the host against a host that lies: a program that uses files in one, and a host whose answers are made up
 * and, at a given rate, wrong in one of many ways. Everything is chosen by one function: a seed's, or a fuzzer's.
 */
#ifndef COFRE_TESTS_HOSTFS_HOSTILE_H
#define COFRE_TESTS_HOSTFS_HOSTILE_H

#include <stdint.h>

/* A number below limit. */
typedef uint32_t (*hostile_choose_fn)(uint32_t limit);

/* A kernel with a folder at /h. on_lie is called by host_lied() and does not return. */
void hostile_init(hostile_choose_fn choose, void (*on_lie)(const char *what));
/* One system call; of 1000 answers lie_rate are lies. Errors of honest hosts where there can be none end the test. */
void hostile_step(uint32_t lie_rate);
/* The honest host's files read, written and listed: 0, or the line of what was wrong. */
int hostile_honest_check(void);

#endif
