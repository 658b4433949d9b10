/* MRENCLAVE: the SHA-256 over ECREATE, EADD and EEXTEND records (SDM 3D, 39; vectors reproduce real enclaves). */
#ifndef COFRE_IMAGE_MEASURE_H
#define COFRE_IMAGE_MEASURE_H

#include <stdint.h>
#include <stdio.h>

#include "image/enclave_layout.h"

struct measure; /* a running measurement */
struct measure *measure_new(void);
void measure_free(struct measure *m);
void measure_ecreate(struct measure *m, uint64_t size, uint32_t ssa_frame_pages);
/* One page; data NULL for zeros; extended if extend. */
void measure_page(struct measure *m, uint64_t offset, uint64_t secinfo_flags, const void *data, int extend);
void measure_final(struct measure *m, uint8_t ret_mrenclave[32]);

/* What an enclave built of these parts measures. */
int measure_enclave(const struct enclave_parts *parts, uint8_t ret_mrenclave[32], char **ret_error);
/* A foreign enclave's SGXS stream: ECREATE, EADD, EEXTEND and UNMEASRD records back to back, all checked. */
int measure_sgxs(FILE *stream, uint8_t ret_mrenclave[32], char **ret_error);

#endif
