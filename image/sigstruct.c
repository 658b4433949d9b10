/* SIGSTRUCT: filling, signing, verifying. Integers in it are little-endian; OpenSSL's are big-endian or BIGNUM. */
#include "image/sigstruct.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "image/error.h"

static const uint8_t header1[16] = {6, 0, 0, 0, 0xE1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
static const uint8_t header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};

static int crypto_error(char **ret_error, const char *what)
{
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    return error_set(ret_error, "%s: %s", what, code ? ERR_reason_error_string(code) : "cryptographic failure");
}

/* Signing must be reproducible and EINIT does not look at the date, so it is a constant. */
#define SIGSTRUCT_DATE 0x20250101

void sigstruct_params_for(struct sigstruct_params *ret_params, const struct policy *policy, const uint8_t mrenclave[32],
                          uint16_t isvprodid, uint16_t isvsvn)
{
    uint64_t debug = policy->flags & POLICY_DEBUG ? SGX_ATTR_DEBUG : 0;
    *ret_params = (struct sigstruct_params){
        .attributes_flags = SGX_ATTR_MODE64BIT | debug,
        .attributes_mask_flags = ~debug, /* a debug policy may also be run as production */
        .attributes_xfrm = policy->xfrm_low,
        .attributes_mask_xfrm = ~0ULL,
        .miscselect = SGX_MISC_EXINFO,
        .miscmask = ~0U,
        .isvprodid = isvprodid,
        .isvsvn = isvsvn,
        .date = SIGSTRUCT_DATE,
    };
    memcpy(ret_params->mrenclave, mrenclave, 32);
}

void sigstruct_fill(struct sgx_sigstruct *sig, const struct sigstruct_params *params)
{
    memset(sig, 0, sizeof(*sig));
    memcpy(sig->header1, header1, sizeof(header1));
    memcpy(sig->header2, header2, sizeof(header2));
    sig->date = params->date;
    sig->miscselect = params->miscselect;
    sig->miscmask = params->miscmask;
    sig->attributes_flags = params->attributes_flags;
    sig->attributes_xfrm = params->attributes_xfrm;
    sig->attributes_mask_flags = params->attributes_mask_flags;
    sig->attributes_mask_xfrm = params->attributes_mask_xfrm;
    memcpy(sig->enclavehash, params->mrenclave, sizeof(sig->enclavehash));
    sig->isvprodid = params->isvprodid;
    sig->isvsvn = params->isvsvn;
}

void sigstruct_signed_bytes(const struct sgx_sigstruct *sig, uint8_t ret_bytes[256])
{
    memcpy(ret_bytes, sig, 128);
    memcpy(ret_bytes + 128, &sig->miscselect, 128);
}

/* q1 = floor(s^2 / m); q2 = floor(s * (s^2 - q1 * m) / m), which lets EINIT verify without division. */
static int compute_q(const struct sgx_sigstruct *sig, uint8_t ret_q1[SGX_RSA_SIZE], uint8_t ret_q2[SGX_RSA_SIZE])
{
    int ok = 0;
    BN_CTX *ctx = BN_CTX_new();
    if (!ctx)
        return -1;
    BN_CTX_start(ctx);
    BIGNUM *s = BN_CTX_get(ctx), *m = BN_CTX_get(ctx), *q1 = BN_CTX_get(ctx), *q2 = BN_CTX_get(ctx);
    BIGNUM *t = BN_CTX_get(ctx), *rest = BN_CTX_get(ctx);
    ok = rest && BN_lebin2bn(sig->signature, SGX_RSA_SIZE, s) && BN_lebin2bn(sig->modulus, SGX_RSA_SIZE, m) &&
         !BN_is_zero(m) && BN_sqr(t, s, ctx) && BN_div(q1, rest, t, m, ctx) && BN_mul(t, s, rest, ctx) &&
         BN_div(q2, NULL, t, m, ctx) && BN_bn2lebinpad(q1, ret_q1, SGX_RSA_SIZE) == SGX_RSA_SIZE &&
         BN_bn2lebinpad(q2, ret_q2, SGX_RSA_SIZE) == SGX_RSA_SIZE;
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return ok ? 0 : -1;
}

static void reverse(uint8_t *dst, const uint8_t *src, size_t size)
{
    for (size_t i = 0; i < size; i++)
        dst[i] = src[size - 1 - i];
}

static int set_modulus(struct sgx_sigstruct *sig, EVP_PKEY *key, char **ret_error)
{
    BIGNUM *n = NULL;
    int ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) &&
             BN_bn2lebinpad(n, sig->modulus, SGX_RSA_SIZE) == SGX_RSA_SIZE;
    BN_free(n);
    sig->exponent = 3;
    return ok ? 0 : crypto_error(ret_error, "reading the key's modulus");
}

int sigstruct_sign(struct sgx_sigstruct *sig, EVP_PKEY *key, char **ret_error)
{
    uint8_t message[256], signature[SGX_RSA_SIZE];
    size_t size = sizeof(signature);
    if (set_modulus(sig, key, ret_error) < 0)
        return -1;
    sigstruct_signed_bytes(sig, message);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) > 0 &&
             EVP_DigestSign(ctx, signature, &size, message, sizeof(message)) > 0 && size == sizeof(signature);
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return crypto_error(ret_error, "signing");
    reverse(sig->signature, signature, sizeof(signature));
    return compute_q(sig, sig->q1, sig->q2) < 0 ? crypto_error(ret_error, "computing q1 and q2") : 0;
}

int sigstruct_import(struct sgx_sigstruct *sig, EVP_PKEY *public_key, const uint8_t *signature, size_t size,
                     char **ret_error)
{
    if (size != SGX_RSA_SIZE)
        return error_set(ret_error, "the signature has %zu bytes, not %d (raw PKCS#1 v1.5 over SHA-256)", size,
                         SGX_RSA_SIZE);
    if (set_modulus(sig, public_key, ret_error) < 0)
        return -1;
    reverse(sig->signature, signature, size);
    if (compute_q(sig, sig->q1, sig->q2) < 0)
        return crypto_error(ret_error, "computing q1 and q2");
    return sigstruct_verify(sig, ret_error);
}

static int is_zero(const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return 0;
    return 1;
}

/* RSASSA-PKCS1-v1_5 by hand of BIGNUM would be our own crypto: build a key and let OpenSSL verify. */
static EVP_PKEY *public_key_of(const struct sgx_sigstruct *sig)
{
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_lebin2bn(sig->modulus, SGX_RSA_SIZE, NULL), *e = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (n && e && build && ctx && BN_set_word(e, 3) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) && (params = OSSL_PARAM_BLD_to_param(build)) &&
        EVP_PKEY_fromdata_init(ctx) > 0)
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

static int verify_signature(const struct sgx_sigstruct *sig)
{
    uint8_t message[256], signature[SGX_RSA_SIZE];
    sigstruct_signed_bytes(sig, message);
    reverse(signature, sig->signature, sizeof(signature));
    EVP_PKEY *key = public_key_of(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) > 0 &&
             EVP_DigestVerify(ctx, signature, sizeof(signature), message, sizeof(message)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : -1;
}

int sigstruct_verify(const struct sgx_sigstruct *sig, char **ret_error)
{
    uint8_t q1[SGX_RSA_SIZE], q2[SGX_RSA_SIZE];
    /* The last word of header1 is the "type": bit 31 marks Intel's debug signatures, which EINIT takes as data. */
    if (memcmp(sig->header1, header1, 12) != 0 || !is_zero(sig->header1 + 12, 3) || (sig->header1[15] & 0x7f))
        return error_set(ret_error, "SIGSTRUCT.HEADER is not the architectural constant");
    if (memcmp(sig->header2, header2, sizeof(header2)) != 0)
        return error_set(ret_error, "SIGSTRUCT.HEADER2 is not the architectural constant");
    if (sig->vendor != 0 && sig->vendor != 0x8086)
        return error_set(ret_error, "SIGSTRUCT.VENDOR is %#x, neither 0 nor 0x8086", sig->vendor);
    if (!is_zero(sig->reserved1, sizeof(sig->reserved1)) || !is_zero(sig->reserved2, sizeof(sig->reserved2)) ||
        !is_zero(sig->reserved3, sizeof(sig->reserved3)) || !is_zero(sig->reserved4, sizeof(sig->reserved4)))
        return error_set(ret_error, "SIGSTRUCT has a reserved byte that is not zero");
    if (sig->exponent != 3)
        return error_set(ret_error, "SIGSTRUCT.EXPONENT is %u, not 3", sig->exponent);
    if (verify_signature(sig) < 0)
        return error_set(ret_error, "SIGSTRUCT.SIGNATURE does not verify");
    if (compute_q(sig, q1, q2) < 0 || memcmp(q1, sig->q1, sizeof(q1)) != 0 || memcmp(q2, sig->q2, sizeof(q2)) != 0)
        return error_set(ret_error, "SIGSTRUCT.Q1 or Q2 does not belong to the signature");
    return 0;
}

void sigstruct_mrsigner(const struct sgx_sigstruct *sig, uint8_t ret_mrsigner[32])
{
    SHA256(sig->modulus, sizeof(sig->modulus), ret_mrsigner);
}

int sigstruct_keygen(const char *path, char **ret_error)
{
    EVP_PKEY *key = NULL;
    BIGNUM *e = BN_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    int ok = e && ctx && BN_set_word(e, 3) && EVP_PKEY_keygen_init(ctx) > 0 &&
             EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 3072) > 0 && EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) > 0 &&
             EVP_PKEY_generate(ctx, &key) > 0;
    EVP_PKEY_CTX_free(ctx);
    BN_free(e);
    if (!ok)
        return crypto_error(ret_error, "generating an RSA-3072 key");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        EVP_PKEY_free(key);
        return error_set_errno(ret_error, errno, "%s", path);
    }
    FILE *f = fdopen(fd, "w");
    ok = f && PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && fflush(f) == 0 && fsync(fd) == 0;
    EVP_PKEY_free(key);
    if (f && fclose(f) != 0)
        ok = 0;
    if (!ok) {
        unlink(path);
        return error_set_errno(ret_error, errno ? errno : EIO, "writing %s", path);
    }
    return 0;
}

EVP_PKEY *sigstruct_key_load(const char *path, int private_key, char **ret_error)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        error_set_errno(ret_error, errno, "%s", path);
        return NULL;
    }
    EVP_PKEY *key = private_key ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : PEM_read_PUBKEY(f, NULL, NULL, NULL);
    fclose(f);
    if (!key) {
        crypto_error(ret_error, path);
        return NULL;
    }
    BIGNUM *e = NULL;
    int ok = EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == 3072 &&
             EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) && BN_is_word(e, 3);
    BN_free(e);
    if (!ok) {
        EVP_PKEY_free(key);
        error_set(ret_error, "%s is not an RSA key of 3072 bits with exponent 3 (make one with `cofre keygen`)", path);
        return NULL;
    }
    return key;
}
