/* A small enclave to test softsgx with: built from image.S, signed with a key made for the run. */
#ifndef COFRE_TESTS_UNIT_SOFTSGX_SUPPORT_H
#define COFRE_TESTS_UNIT_SOFTSGX_SUPPORT_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/hostcall.h"
#include "host/softsgx/softsgx.h"
#include "image/measure.h"
#include "image/sigstruct.h"

#define TEXT 0x100000UL
#define DATA 0x200000UL
#define DATA_PAGES 16
#define VCPU(i) (0x300000UL + (i)*0x20000UL)
#define VCPU_SSA_OFFSET 0x10000UL
#define VCPU_STACK_PAGES 4
#define DYNAMIC 0x10000000UL
#define DEFAULT_SIZE (1UL << 32)

extern const uint8_t softsgx_image_start[], softsgx_image_end[];
#define OP(name)                                                                                                       \
    ({                                                                                                                 \
        extern const uint8_t image_##name[] __attribute__((visibility("hidden")));                                     \
        TEXT + (uint64_t)(image_##name - softsgx_image_start);                                                         \
    })

struct test_options {
    uint64_t base, size;
    uint64_t attributes, xfrm; /* 0: the usual */
    uint32_t miscselect, nssa;
    uint16_t isvprodid, isvsvn;
    int vcpus;
    bool no_init;
    /* called to spoil the SIGSTRUCT before or after it is signed */
    void (*before_sign)(struct sgx_sigstruct *sig);
    void (*after_sign)(struct sgx_sigstruct *sig);
    uint8_t configid_byte;
    uint16_t configsvn;
};

struct test_enclave {
    struct sgx_enclave *enclave;
    struct sgx_thread *thread;
    uint8_t mrenclave[32];
    uint64_t text_size;
    int init_result;
    struct sgx_sigstruct sig;
};

/* Builds, and (unless told not to) initialises, maps and registers the calling thread for VCPU(0). */
void test_enclave_new(struct test_enclave *t, const struct test_options *options);
void test_enclave_free(struct test_enclave *t);
int test_add(struct test_enclave *t, struct measure *m, uint64_t address, const void *data, uint64_t pages,
             uint64_t flags, bool measure);

struct test_exit {
    int result;        /* of the enter function */
    uint32_t function; /* leaf the enclave was left by */
    uint64_t rdi, rsi; /* at EEXIT */
    uint16_t vector, error_code;
    uint64_t addr;
};
/* One EENTER or ERESUME. */
struct test_exit test_enter(struct sgx_thread *thread, uint32_t function, uint64_t rdi, uint64_t rsi);
/* Runs an operation that must leave by EEXIT with its result. */
uint64_t test_call(struct test_enclave *t, uint64_t op, uint64_t arg);
/* SSA frame of the latest asynchronous exit. */
struct gprsgx *test_gpr(struct test_enclave *t, uint32_t frame);
/* EACCEPT and others through the enclave; the operands are put in its data pages. */
uint64_t test_eaccept(struct test_enclave *t, uint64_t flags, uint64_t page);
uint64_t test_emodpe(struct test_enclave *t, uint64_t flags, uint64_t page);
struct test_exit test_leaf(struct test_enclave *t, uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx);
double test_now_ns(void);

#endif
