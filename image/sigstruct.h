/* SIGSTRUCT: filling, signing (here or elsewhere), verifying as EINIT does (SDM 3D, 38.13 and EINIT). */
#ifndef COFRE_IMAGE_SIGSTRUCT_H
#define COFRE_IMAGE_SIGSTRUCT_H

#include <openssl/evp.h>

#include "abi/policy.h"
#include "image/sgx_arch.h"

struct sigstruct_params {
    uint8_t mrenclave[32];
    uint64_t attributes_flags, attributes_mask_flags;
    uint64_t attributes_xfrm, attributes_mask_xfrm;
    uint32_t miscselect, miscmask;
    uint16_t isvprodid, isvsvn;
    uint32_t date; /* 0xYYYYMMDD; fixed by the caller so that signing is reproducible */
};

/* What a SIGSTRUCT for this policy must say: 64-bit mode, XFRM exact, EXINFO, DEBUG only if the policy allows it. */
void sigstruct_params_for(struct sigstruct_params *ret_params, const struct policy *policy, const uint8_t mrenclave[32],
                          uint16_t isvprodid, uint16_t isvsvn);

/* Everything but modulus, exponent, signature, q1 and q2. */
void sigstruct_fill(struct sgx_sigstruct *sig, const struct sigstruct_params *params);

/* The 256 bytes that are signed: bytes 0..127 and 900..1027. */
void sigstruct_signed_bytes(const struct sgx_sigstruct *sig, uint8_t ret_bytes[256]);

/* Sign with an RSA-3072 key of exponent 3. 0, or -1 with *ret_error. */
int sigstruct_sign(struct sgx_sigstruct *sig, EVP_PKEY *key, char **ret_error);

/* Put in a PKCS#1 v1.5 SHA-256 signature (big-endian, 384 bytes) made elsewhere by the owner of public_key; verified.
 */
int sigstruct_import(struct sgx_sigstruct *sig, EVP_PKEY *public_key, const uint8_t *signature, size_t size,
                     char **ret_error);

/* Header constants, reserved bytes, exponent, signature, q1 and q2. 0, or -1 naming the check that failed. */
int sigstruct_verify(const struct sgx_sigstruct *sig, char **ret_error);

/* SHA-256 of the modulus as stored. */
void sigstruct_mrsigner(const struct sgx_sigstruct *sig, uint8_t ret_mrsigner[32]);

/* RSA-3072, exponent 3, PEM. Written to path (0600; -EEXIST-like error if it is there). */
int sigstruct_keygen(const char *path, char **ret_error);
/* Private or public key from a PEM file; refused unless RSA-3072 with exponent 3. NULL with *ret_error. */
EVP_PKEY *sigstruct_key_load(const char *path, int private_key, char **ret_error);

#endif
