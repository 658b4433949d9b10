/* The inside of struct attest_policy: what the YAML says, filled by policy_yaml.c, judged by policy_evaluate.c. */
#ifndef COFRE_ATTEST_POLICY_PARTS_H
#define COFRE_ATTEST_POLICY_PARTS_H

#include "attest/policy.h"

#define POLICY_LIST_MAX 64

/* One identity that is wanted. What is absent is not compared. */
struct policy_identity {
    char name[64];
    uint32_t has; /* bits 1 << enum policy_field */
    uint8_t mrenclave[32], mrsigner[32], config_id[64], family_id[16], extended_product_id[16];
    uint16_t product, minimum_svn, minimum_config_svn;
    uint8_t mrtd[48], rtmr[4][48], mrconfig_id[48], mrowner[48], mrowner_config[48], mrseam[48];
};

enum policy_field {
    POLICY_MRENCLAVE,
    POLICY_MRSIGNER,
    POLICY_PRODUCT,
    POLICY_MINIMUM_SVN,
    POLICY_CONFIG_ID,
    POLICY_MINIMUM_CONFIG_SVN,
    POLICY_FAMILY_ID,
    POLICY_EXTENDED_PRODUCT_ID,
    POLICY_MRTD,
    POLICY_RTMR0,
    POLICY_RTMR1,
    POLICY_RTMR2,
    POLICY_RTMR3,
    POLICY_MRCONFIG_ID,
    POLICY_MROWNER,
    POLICY_MROWNER_CONFIG,
    POLICY_MRSEAM,
    POLICY_FIELD_COUNT
};

/* (bits & mask) must be value. */
struct policy_bits {
    uint64_t mask, value;
};

struct policy_strings {
    size_t count;
    char items[POLICY_LIST_MAX][ATTEST_ADVISORY_SIZE_MAX];
};

struct policy_digests { /* FMSPCs (6 bytes), PPIDs and platform instances (16) */
    size_t count;
    uint8_t items[POLICY_LIST_MAX][16];
};

struct attest_policy {
    struct policy_identity identities[POLICY_LIST_MAX];
    size_t identity_count;
    bool any_identity;
    bool debug, simulation, unknown_attributes, provision_key, tokens;
    uint32_t statuses; /* bits 1 << enum attest_tcb_status */
    bool has_accepted_advisories;
    struct policy_strings accepted_advisories, rejected_advisories;
    uint32_t minimum_evaluation_number;
    int64_t minimum_tcb_date; /* seconds since 1970; 0: none */
    struct policy_bits attributes, xfrm, miscselect, td_attributes, xfam;
    struct policy_digests fmspcs, ppids, platform_instances;
    bool allow_smt, allow_dynamic_platform, allow_cached_keys;
    uint32_t maximum_age_days; /* 0: none */
    bool allow_expired;
    bool require_binding;
    uint8_t report_data[64];
    size_t report_data_size; /* that REPORTDATA must begin with */
};

#endif
