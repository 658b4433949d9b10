/* TCB info of version 2 and 3 (Intel, "Trusted Computing Base (TCB) Info" of the PCS API) and its evaluation. */
#ifndef COFRE_ATTEST_TCB_INFO_H
#define COFRE_ATTEST_TCB_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/result.h"
#include "attest/signed_json.h"

#define TCB_LEVEL_COUNT_MAX 256
#define TDX_MODULE_COUNT_MAX 32
#define ISVSVN_LEVEL_COUNT_MAX 64

/* Levels of an enclave or of a TDX module: those from this SVN on, up to the next one's. */
struct isvsvn_level {
    uint16_t isvsvn;
    struct attest_tcb tcb;
};

struct tdx_module {
    uint8_t version; /* the two digits of "TDX_03" */
    uint8_t mrsigner[48];
    uint64_t attributes, attributes_mask;
    size_t level_count;
    struct isvsvn_level *levels;
};

struct tcb_level {
    uint8_t sgx[16]; /* component SVNs */
    uint8_t tdx[16];
    uint16_t pce_svn;
    struct attest_tcb tcb;
};

struct tcb_info {
    uint32_t version;
    bool is_tdx;
    struct attest_validity validity;
    uint8_t fmspc[6];
    uint8_t pce_id[2];
    uint32_t evaluation_number;
    struct tdx_module module; /* tdxModule: of modules of version 0; it has no levels */
    size_t module_count;
    struct tdx_module *modules; /* tdxModuleIdentities */
    size_t level_count;
    struct tcb_level *levels; /* in the order of the document, which falls */
};

/* Of the signed object. 0, or -1 with *ret_error naming the member. */
int tcb_info_parse(const json_t *object, struct tcb_info *ret_info, char **ret_error);
void tcb_info_free(struct tcb_info *info);

/* "tcbLevels" of an identity. At most ISVSVN_LEVEL_COUNT_MAX; *ret_levels is malloc'd. */
int isvsvn_levels_parse(const json_t *object, size_t *ret_count, struct isvsvn_level **ret_levels, char **ret_error);

/* The first level whose SVN is not above; NULL if there is none. */
const struct isvsvn_level *isvsvn_level_find(const struct isvsvn_level *levels, size_t count, uint16_t isvsvn);

/* The module identity for a TD's TEE_TCB_SVN[1]; NULL if there is none. */
const struct tdx_module *tcb_info_module(const struct tcb_info *info, uint8_t version);

#endif
