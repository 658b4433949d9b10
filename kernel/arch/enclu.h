/*
 * Enclave leaves used by the kernel. Each ENCLU instruction sits in a function of its own whose first bytes are
 * 0f 01 d7 c3 padded to 32 bytes (kernel/arch/enclu.S), which softsgx relies on to patch its private mapping.
 * Structures are as in the SDM, vol. 3D.
 */
#ifndef COFRE_KERNEL_ARCH_ENCLU_H
#define COFRE_KERNEL_ARCH_ENCLU_H

#include "kernel/lib/types.h"

struct secinfo {
    uint64_t flags; /* SECINFO_* | page type << 8 */
    uint64_t reserved[7];
} __attribute__((aligned(64)));

#define SECINFO_R 1
#define SECINFO_W 2
#define SECINFO_X 4
#define SECINFO_PENDING 8
#define SECINFO_MODIFIED 16
#define SECINFO_PR 32
#define SECINFO_TYPE(t) ((uint64_t)(t) << 8)
#define PT_TCS 1
#define PT_REG 2
#define PT_TRIM 4

/* Return RAX: 0, or an SGX error code (SDM table 37-4). The page address must be page aligned. */
uint64_t enclu_eaccept(const struct secinfo *secinfo, uint64_t page);
void enclu_emodpe(const struct secinfo *secinfo, uint64_t page);
uint64_t enclu_eacceptcopy(const struct secinfo *secinfo, uint64_t page, uint64_t source_page);
/* targetinfo 512-aligned, reportdata 128-aligned, report 512-aligned. */
void enclu_ereport(const void *targetinfo, const void *reportdata, void *report);
/* keyrequest 512-aligned, key 16-aligned. */
uint64_t enclu_egetkey(const void *keyrequest, void *key);

#endif
