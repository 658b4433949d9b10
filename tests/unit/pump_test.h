/* What the tests of the pump have in common beside the fake kernel: real clients, waiting, kicks at any time. */
#ifndef COFRE_TESTS_UNIT_PUMP_TEST_H
#define COFRE_TESTS_UNIT_PUMP_TEST_H

#include "tests/unit/fake_kernel.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define MS 1000000ULL

/* A TCP connection to that port of this machine, with a limit of 20 s for each read; -1 if there is none. */
int dial(uint16_t port);
/* 0, or -1 when it ends before. */
int read_all(int fd, void *buf, size_t size);

/* The byte at that place of a long stream. */
uint8_t pattern(uint64_t at);

/* For fake_kernel_park() when nothing is to be done with what is ready. */
void nothing(struct fake_kernel *k, uint32_t c, void *arg);

/* Park until the event shows on the channel, or fail after some seconds. */
void await_event(struct fake_kernel *k, uint32_t c, uint32_t event);

/*
 * Another thread kicks, as it pleases, the one that calls this and parks. Each kick must be noticed; who is not parked
 * has no need of it. before_round may be NULL.
 */
struct kicks {
    struct fake_kernel *kernel;
    int rounds;
    void (*kick)(struct kicks *kicks);
    void (*before_round)(struct fake_kernel *k);
    pthread_t parked; /* set by kicks_all_count(), as the following are */
    atomic_int round, kicked;
};
void kicks_all_count(struct kicks *kicks);

#endif
