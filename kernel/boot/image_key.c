/*
 * The key of an encrypted root image (contract in image_key.h). Either a key server releases it to the init enclave,
 * after attestation, and members have it from there; or it comes from a file on the host, which is for development,
 * since the host then has what the encryption should keep from it.
 */
#include "kernel/boot/image_key.h"

#include "kernel/arch/untrusted.h"
#include "kernel/attestation/key_release.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/crypto/hmac.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/string.h"

_Static_assert(IMAGE_KEY_SIZE == AES_XTS_KEY_SIZE, "abi/policy.h");

static bool matches(const uint8_t bytes[IMAGE_KEY_SIZE])
{
    uint8_t check[HMAC_SHA256_SIZE];
    hmac_sha256(bytes, IMAGE_KEY_SIZE, POLICY_KEY_CHECK_LABEL, sizeof(POLICY_KEY_CHECK_LABEL) - 1, check);
    return memory_equal_ct(check, policy()->root_key_check, POLICY_KEY_CHECK_SIZE);
}

static void read_file_key(uint8_t ret_bytes[IMAGE_KEY_SIZE])
{
    const struct boot_blob *blob = &boot_params()->image_key;
    if (blob->size == 0)
        refuse(STATUS_REFUSED, "the root image is encrypted, and no key was given (cofre run --image-key)");
    untrusted_copy_in(ret_bytes, (host_ptr){blob->addr}, IMAGE_KEY_SIZE);
}

static uint8_t released[IMAGE_KEY_SIZE];
static bool is_released;

const uint8_t *image_key_released(void)
{
    return is_released ? released : NULL;
}

void image_key_receive(const uint8_t key[IMAGE_KEY_SIZE])
{
    memcpy(released, key, IMAGE_KEY_SIZE);
    is_released = true;
}

const struct aes_xts_key *image_key(void)
{
    static struct aes_xts_key key;
    uint8_t bytes[IMAGE_KEY_SIZE];
    bool from_server = policy()->root_key_release == POLICY_KEY_SERVER;
    if (policy()->root_cipher == POLICY_CIPHER_NONE)
        return NULL;
    if (!from_server)
        read_file_key(bytes);
    else if (is_released)
        memcpy(bytes, released, sizeof(bytes));
    else
        key_release("the root image", policy_string_at(policy()->root_key_name_offset), bytes, sizeof(bytes));
    if (!matches(bytes) || aes_xts_key_init(&key, bytes) != 0)
        refuse(STATUS_REFUSED, "the image key is not the one that the root image was encrypted with");
    if (from_server)
        image_key_receive(bytes);
    memory_wipe(bytes, sizeof(bytes));
    return &key;
}
