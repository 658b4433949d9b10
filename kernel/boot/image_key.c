/*
 * The key of an encrypted root image (contract in image_key.h). Today there is one way for it to come: from a file on
 * the host, which is for development, since the host then has what the encryption should keep from it.
 */
#include "kernel/boot/image_key.h"

#include "kernel/arch/untrusted.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/crypto/hmac.h"
#include "kernel/crypto/secret.h"

_Static_assert(IMAGE_KEY_SIZE == AES_XTS_KEY_SIZE, "abi/policy.h");

static bool matches(const uint8_t bytes[IMAGE_KEY_SIZE])
{
    uint8_t check[HMAC_SHA256_SIZE];
    hmac_sha256(bytes, IMAGE_KEY_SIZE, POLICY_KEY_CHECK_LABEL, sizeof(POLICY_KEY_CHECK_LABEL) - 1, check);
    return memory_equal_ct(check, policy()->root_key_check, POLICY_KEY_CHECK_SIZE);
}

const struct aes_xts_key *image_key(void)
{
    static struct aes_xts_key key;
    const struct boot_blob *blob = &boot_params()->image_key;
    uint8_t bytes[IMAGE_KEY_SIZE];
    if (policy()->root_cipher == POLICY_CIPHER_NONE)
        return NULL;
    if (blob->size == 0)
        refuse(STATUS_REFUSED, "the root image is encrypted, and no key was given (cofre run --image-key)");
    untrusted_copy_in(bytes, (host_ptr){blob->addr}, sizeof(bytes));
    if (!matches(bytes) || aes_xts_key_init(&key, bytes) != 0)
        refuse(STATUS_REFUSED, "the image key is not the one that the root image was encrypted with");
    memory_wipe(bytes, sizeof(bytes));
    return &key;
}
