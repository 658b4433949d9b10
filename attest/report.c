/* Report bodies. */
#include "attest/report.h"

#include <stdbool.h>

#include "image/error.h"

static bool is_zero(const uint8_t *data, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++)
        any |= data[i];
    return any == 0;
}

int attest_sgx_body_check(const struct attest_sgx_body *body, char **ret_error)
{
    if (!(body->attributes & ATTEST_SGX_INIT))
        return error_set(ret_error, "the report is of an enclave that was never initialised");
    if (!is_zero(body->reserved1, sizeof(body->reserved1)) || !is_zero(body->reserved2, sizeof(body->reserved2)) ||
        !is_zero(body->reserved3, sizeof(body->reserved3)) || !is_zero(body->reserved4, sizeof(body->reserved4)))
        return error_set(ret_error, "a reserved field of the report is not zero");
    return 0;
}
