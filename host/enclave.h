/* Building the enclave: the SGX ioctls over image/enclave_layout.h. */
#ifndef COFRE_HOST_ENCLAVE_H
#define COFRE_HOST_ENCLAVE_H

#include "host/artifacts.h"
#include "host/sgx/sgx.h"

/*
 * Create, fill, initialise and map the enclave that the artifacts describe. 0 and *ret_enclave, or negative errno and a
 * message that says which step was refused.
 */
int enclave_build(const struct artifacts *artifacts, enum sgx_kind kind, struct sgx_enclave **ret_enclave,
                  char **ret_error);

#endif
