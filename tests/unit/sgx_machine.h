/*
 * One enclave of softsgx as far as EREPORT and EGETKEY go, for tests of the kernel's side of them: softsgx's headers
 * and the kernel's do not mix in one file.
 */
#ifndef COFRE_TESTS_SGX_MACHINE_H
#define COFRE_TESTS_SGX_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct sgx_identity {
    uint8_t mrenclave, mrsigner; /* all bytes */
    uint16_t isvprodid, isvsvn;
    bool debug;
    uint64_t xfrm;
};

/* From now on, the enclave that runs is this one. */
void sgx_machine_run(struct sgx_identity identity);

#endif
