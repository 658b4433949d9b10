/*
 * This container as a marble (contract in volume_marble.h). The certificates are the host's word, and it need not be
 * believed: with the wrong ones the coordinator refuses. The private key comes from the key server, after attestation,
 * or, for development, from the same file.
 */
#include "kernel/fs/volume_marble.h"

#include <linux/errno.h>

#include "kernel/attestation/key_release.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/crypto/secret.h"
#include "kernel/mm/kmalloc.h"

_Static_assert(MARBLE_KEY_SIZE == TLS_SCALAR_SIZE && MARBLE_IDENTITY_MAX == TLS_IDENTITY_SIZE, "abi/policy.h");
_Static_assert(POLICY_ADDRESS_MAX == MARBLE_HOST_MAX && POLICY_POINT_P384 == 2 * TLS_POINT_MAX, "abi/policy.h");

static noreturn_fn void refuse_identity(int error)
{
    bool from_server = policy()->marble.key_release == POLICY_KEY_SERVER;
    if (error == -ENOKEY && !from_server)
        refuse(STATUS_REFUSED, "the marble's certificate came without its key, an ECDSA key on P-384 (cofre run "
                               "--marble: the policy has it from there)");
    refuse(STATUS_REFUSED,
           "what was given as the marble's certificate is none (cofre run --marble: PEM, its own "
           "certificate first, at most %u)",
           TLS_CHAIN_MAX);
}

static struct tls_identity *identity_new(void)
{
    const struct policy_marble *marble = &policy()->marble;
    bool from_server = marble->key_release == POLICY_KEY_SERVER;
    struct tls_identity *identity = kmalloc(sizeof(*identity));
    uint8_t key[MARBLE_KEY_SIZE];
    size_t size;
    if (boot_params()->marble.size == 0)
        refuse(STATUS_REFUSED, "the policy has its anchor at MarbleRun, and no certificate for it was given (cofre run "
                               "--marble)");
    char *text = boot_blob_copy(&boot_params()->marble, MARBLE_IDENTITY_MAX, &size);
    if (!identity || !text) {
        kfree(identity);
        kfree(text);
        return NULL;
    }
    if (from_server)
        key_release("the marble's certificate", policy_string_at(marble->key_name_offset), key, sizeof(key));
    int error = tls_identity_parse(identity, text, size, from_server ? key : NULL);
    memory_wipe(key, sizeof(key));
    memory_wipe(text, size);
    kfree(text);
    if (error < 0)
        refuse_identity(error);
    return identity;
}

/* Of the policy, which was checked. */
static size_t read_point(uint8_t ret_point[TLS_POINT_MAX])
{
    const char *digits = policy_string_at(policy()->marble.point_offset);
    size_t size = strlen(digits) / 2;
    for (size_t i = 0; i < 2 * size; i++) {
        uint8_t value = (uint8_t)(digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
        ret_point[i / 2] = (uint8_t)(ret_point[i / 2] << 4 | value);
    }
    return size;
}

struct marble_counter *volume_marble_new(const char *address)
{
    static struct tls_identity *identity;
    if (!identity)
        identity = identity_new();
    struct marble_counter *counter = identity ? kzalloc(sizeof(*counter)) : NULL;
    if (!counter)
        return NULL;
    counter->tls.identity = identity;
    counter->tls.peer_point_size = read_point(counter->tls.peer_point);
    counter->host = address;
    return counter;
}
