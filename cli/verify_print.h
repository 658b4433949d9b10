/* What `cofre verify` prints of a result. */
#ifndef COFRE_CLI_VERIFY_PRINT_H
#define COFRE_CLI_VERIFY_PRINT_H

#include <stdbool.h>

#include "attest/policy.h"
#include "attest/result.h"

struct verify_output {
    const struct attest_result *result;
    const struct attest_appraisal *appraisal;
    const char *certificate_form; /* NULL: the evidence was not in a certificate */
    const char *policy_name;      /* NULL: the built-in one */
    bool dry_run;                 /* say what would have to change */
};

void verify_print_text(const struct verify_output *output);
/* The result's JSON with "appraisal" and "certificate". 0, or -1: no memory. */
int verify_print_json(const struct verify_output *output);

/* "LABEL  HEX" */
void verify_print_hex(const char *label, const void *data, size_t size);

#endif
