/*
 * The software quoting enclave of softsgx: verifies reports as a real one does, over the machine's simulated key, and
 * signs quotes in the real format (Intel, "SGX ECDSA QuoteLibReference DCAP API", A.4, version 3) with a key whose
 * certificate ends in a root of this machine that is named as simulation. It protects nothing.
 *
 * Certifying its key is left to `cofre-attest simulation provision`, run once when there is none yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/dsa.h>
#include <nettle/ecc-curve.h>
#include <nettle/ecdsa.h>
#include <nettle/sha2.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attest/quote.h"
#include "host/error.h"
#include "host/quote/quoting.h"
#include "host/quote/simulation.h"
#include "host/softsgx/softsgx.h"
#include "host/softsgx/state.h"

#define BODY_SIZE sizeof(struct attest_sgx_body)
#define SIGNED_SIZE (ATTEST_QUOTE_HEADER_SIZE + BODY_SIZE)
#define SIGNATURE_SIZE 64
#define CERTIFICATION_SIZE_MIN (64 + 384 + 64 + 2 + 2 + 4)

struct quote_header {
    uint16_t version, key_type;
    uint32_t reserved;
    uint16_t qe_svn, pce_svn;
    uint8_t vendor_id[16], user_data[20];
};
_Static_assert(sizeof(struct quote_header) == ATTEST_QUOTE_HEADER_SIZE, "A.4");

/* TARGETINFO (SDM 38.16) of the software quoting enclave. */
struct targetinfo {
    uint8_t measurement[32];
    uint64_t attributes, xfrm;
    uint8_t rest[QUOTING_TARGETINFO_SIZE - 48];
};
_Static_assert(sizeof(struct targetinfo) == QUOTING_TARGETINFO_SIZE, "SDM 38.16");

static int software_target(uint8_t ret_targetinfo[QUOTING_TARGETINFO_SIZE], char **ret_error)
{
    struct targetinfo target = {.attributes = SIMULATION_QE_ATTRIBUTES, .xfrm = SIMULATION_QE_XFRM};

    (void)ret_error;
    memcpy(target.measurement, SIMULATION_QE_MRENCLAVE, sizeof(target.measurement));
    memcpy(ret_targetinfo, &target, sizeof(target));
    return 0;
}

/* Whole files of at most max bytes; the size, or negative errno. */
static ssize_t read_file(const char *path, uint8_t *data, size_t max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = read(fd, data, max);
    if (n < 0)
        n = -errno;
    close(fd);
    return n;
}

/* The program that can certify: $COFRE_ATTEST, or beside this one. */
static bool find_provisioner(char *ret_path, size_t size)
{
    const char *chosen = getenv("COFRE_ATTEST");
    char self[4000];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (chosen && *chosen)
        return snprintf(ret_path, size, "%s", chosen) < (int)size;
    if (length < 0)
        return false;
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(ret_path, size, "%s/cofre-attest", self);
    if (access(ret_path, X_OK) == 0)
        return true;
    snprintf(ret_path, size, "%s/../cofre-attest", self);
    return access(ret_path, X_OK) == 0;
}

static int provision(char **ret_error)
{
    extern char **environ;
    char path[4096], *argv[] = {(char *)"cofre-attest", (char *)"simulation", (char *)"provision", NULL};
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;
    int ret, status;

    if (!find_provisioner(path, sizeof(path)))
        return fail(ret_error, ENOENT,
                    "the simulated platform has no certificate yet, and cofre-attest, which makes one, is not here "
                    "(run `cofre simulation provision`; in a container, mount its state folder)");
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    ret = posix_spawn(&pid, path, NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (ret != 0)
        return fail(ret_error, ret, "starting %s failed: %s", path, strerror(ret));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fail(ret_error, errno, "waiting for %s failed: %s", path, strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(ret_error, EIO, "certifying the simulated platform failed");
    return 0;
}

/* Key and certification, made now if they are not there. The certification's size, or negative errno. */
static ssize_t load(uint8_t ret_key[32], uint8_t *certification, size_t max, char **ret_error)
{
    char key_path[4300], path[4300];
    ssize_t n;

    if (!softsgx_state_path(SIMULATION_FOLDER "/" SIMULATION_ATTESTATION_KEY, key_path, sizeof(key_path)) ||
        !softsgx_state_path(SIMULATION_FOLDER "/" SIMULATION_CERTIFICATION, path, sizeof(path)))
        return fail(ret_error, ENOENT, "there is no place for the state of the simulated platform (set HOME)");
    n = read_file(path, certification, max);
    if (n == -ENOENT) {
        int ret = provision(ret_error);
        if (ret < 0)
            return ret;
        n = read_file(path, certification, max);
    }
    if (n >= 0 && (n < CERTIFICATION_SIZE_MIN || (size_t)n == max))
        n = -EBADMSG;
    if (n < 0)
        return fail(ret_error, (int)-n, "reading %s failed: %s", path, strerror((int)-n));
    if (read_file(key_path, ret_key, 32) != 32)
        return fail(ret_error, EBADMSG, "reading %s failed: it is not 32 bytes", key_path);
    return n;
}

static void random_bytes(void *context, size_t size, uint8_t *bytes)
{
    (void)context;
    while (size > 0) {
        ssize_t n = getrandom(bytes, size, 0);

        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
}

/* ECDSA over SHA-256, r and s big-endian. */
static int sign(const uint8_t key_bytes[32], const uint8_t *data, size_t size, uint8_t ret_signature[SIGNATURE_SIZE])
{
    struct sha256_ctx hash;
    struct ecc_scalar key;
    struct dsa_signature signature;
    uint8_t digest[SHA256_DIGEST_SIZE];
    mpz_t scalar;
    int good;

    sha256_init(&hash);
    sha256_update(&hash, size, data);
    sha256_digest(&hash, sizeof(digest), digest);
    mpz_init(scalar);
    mpz_import(scalar, 32, 1, 1, 1, 0, key_bytes);
    ecc_scalar_init(&key, nettle_get_secp_256r1());
    dsa_signature_init(&signature);
    good = ecc_scalar_set(&key, scalar);
    if (good) {
        ecdsa_sign(&key, NULL, random_bytes, sizeof(digest), digest, &signature);
        memset(ret_signature, 0, SIGNATURE_SIZE);
        mpz_export(ret_signature + 32 - (mpz_sizeinbase(signature.r, 2) + 7) / 8, NULL, 1, 1, 1, 0, signature.r);
        mpz_export(ret_signature + 64 - (mpz_sizeinbase(signature.s, 2) + 7) / 8, NULL, 1, 1, 1, 0, signature.s);
    }
    dsa_signature_clear(&signature);
    ecc_scalar_clear(&key);
    mpz_clear(scalar);
    return good ? 0 : -EBADMSG;
}

static int software_quote(const uint8_t report[QUOTING_REPORT_SIZE], uint8_t *ret_quote, size_t max, size_t *ret_size,
                          char **ret_error)
{
    struct quote_header header = {.version = 3,
                                  .key_type = ATTEST_KEY_TYPE_ECDSA_P256,
                                  .qe_svn = SIMULATION_QE_SVN,
                                  .pce_svn = SIMULATION_PCE_SVN};
    const size_t fixed = SIGNED_SIZE + sizeof(uint32_t) + SIGNATURE_SIZE;
    uint8_t target[QUOTING_TARGETINFO_SIZE], key[32];
    ssize_t certification_size;
    uint32_t signature_size;
    int ret;

    software_target(target, ret_error);
    if (!softsgx_report_verify(target, report))
        return fail(ret_error, EBADMSG, "the report was not made for this quoting enclave");
    certification_size = load(key, ret_quote + fixed, max - fixed, ret_error);
    if (certification_size < 0)
        return (int)certification_size;
    memcpy(header.vendor_id, attest_intel_qe_vendor_id, sizeof(header.vendor_id)); /* the format has no other */
    memcpy(header.user_data, SIMULATION_QE_ID, 16);
    memcpy(ret_quote, &header, sizeof(header));
    memcpy(ret_quote + sizeof(header), report, BODY_SIZE);
    signature_size = (uint32_t)(SIGNATURE_SIZE + certification_size);
    memcpy(ret_quote + SIGNED_SIZE, &signature_size, sizeof(signature_size));
    ret = sign(key, ret_quote, SIGNED_SIZE, ret_quote + SIGNED_SIZE + sizeof(signature_size));
    memset(key, 0, sizeof(key));
    if (ret < 0)
        return fail(ret_error, -ret, "the attestation key of the simulated platform is no key");
    *ret_size = fixed + (size_t)certification_size;
    return 0;
}

const struct quoting_ops quoting_software = {"simulation", software_target, software_quote};
