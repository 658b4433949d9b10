/* A registered host thread: what both implementations keep. It stands at the base of its thread block. */
#ifndef COFRE_HOST_SGX_THREAD_H
#define COFRE_HOST_SGX_THREAD_H

#include "host/sgx/offsets.h"
#include "host/sgx/sgx.h"

struct softsgx_tcs;

struct sgx_thread {
    /* known to assembly */
    uint64_t host_fs, host_gs;
    struct softsgx_tcs *tcs; /* softsgx: what tcs_va is; valid while bound_va equals it */
    uint64_t bound_va;
    uint32_t pending; /* a tick could not be delivered yet */
    uint32_t in_leaf; /* softsgx emulates a leaf: host code with the enclave's FS and GS */
    uint64_t iret[5]; /* ERESUME's way in */
    uint64_t eresume_rsp, eresume_rbp;
    uint64_t site;          /* of the leaf being emulated */
    uint64_t leaf_regs[10]; /* the enclave's registers meanwhile */
    uint64_t eenter, eexit, eresume, ticks;
    /* C only */
    uint64_t aex, aex_by_vector[32];
    uint64_t eaug, charged; /* softsgx: pages EACCEPT added; transitions the cost model has seen */
    struct sgx_enclave *enclave;
    uint64_t tcs_va;
    int tid;
    uint32_t depth; /* device: exceptions being handled, as far as the host knows */
    bool used;
    struct sgx_enclave_run run;
    uint64_t exit_rdi, exit_rsi;
    struct sgx_fault fault;
    struct {
        void *sp;
        int flags;
        size_t size;
    } old_stack;
};

#define SGX_OFFSET(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), #field)
SGX_OFFSET(sgx_thread, host_fs, T_HOST_FS);
SGX_OFFSET(sgx_thread, host_gs, T_HOST_GS);
SGX_OFFSET(sgx_thread, tcs, T_TCS);
SGX_OFFSET(sgx_thread, bound_va, T_TCS_VA);
SGX_OFFSET(sgx_thread, pending, T_PENDING);
SGX_OFFSET(sgx_thread, in_leaf, T_IN_LEAF);
SGX_OFFSET(sgx_thread, iret, T_IRET);
SGX_OFFSET(sgx_thread, eresume_rsp, T_RSP);
SGX_OFFSET(sgx_thread, eresume_rbp, T_RBP);
SGX_OFFSET(sgx_thread, site, T_SITE);
SGX_OFFSET(sgx_thread, leaf_regs, T_LEAF_REGS);
SGX_OFFSET(sgx_thread, eenter, T_EENTER);
SGX_OFFSET(sgx_thread, eexit, T_EEXIT);
SGX_OFFSET(sgx_thread, eresume, T_ERESUME);
SGX_OFFSET(sgx_thread, ticks, T_TICKS);
SGX_OFFSET(sgx_enclave_run, tcs, RUN_TCS);
SGX_OFFSET(sgx_enclave_run, function, RUN_FUNCTION);
SGX_OFFSET(sgx_enclave_run, exception_vector, RUN_VECTOR);
SGX_OFFSET(sgx_enclave_run, exception_error_code, RUN_ERROR_CODE);
SGX_OFFSET(sgx_enclave_run, exception_addr, RUN_ADDR);
SGX_OFFSET(sgx_enclave_run, user_handler, RUN_HANDLER);
SGX_OFFSET(sgx_enclave_run, reserved, RUN_RESERVED);
_Static_assert(sizeof(struct sgx_enclave_run) == RUN_SIZE, "256 bytes");
_Static_assert(sizeof(struct sgx_thread) <= 0x1000, "one page; the leaf stack follows");

/* The calling thread's block, or NULL. */
extern _Thread_local struct sgx_thread *sgx_current __attribute__((tls_model("initial-exec")));

/* All thread blocks lie in one region, so that a signal handler can tell a vCPU thread by its stack pointer. */
extern uint64_t sgx_blocks_base, sgx_blocks_size;

/* Takes a free block and makes its stack the calling thread's alternate stack. */
int sgx_thread_block_new(struct sgx_thread **ret_thread);
void sgx_thread_block_free(struct sgx_thread *thread);

/* The vDSO entry with R12 to R15 saved around it (an AEX loses them). Same arguments, then the function to call. */
int sgx_enter_saved(unsigned long rdi, unsigned long rsi, unsigned long rdx, unsigned int function, unsigned long r8,
                    unsigned long r9, struct sgx_enclave_run *run, vdso_sgx_enter_enclave_t enter);

struct sgx_enclave {
    const struct sgx_ops *ops;
    uint64_t base, size;
    int fd;
};

extern const struct sgx_ops sgx_device_ops, sgx_softsgx_ops;

/* device.c */
bool sgx_device_present(void);

#endif
