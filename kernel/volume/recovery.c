/* Recovery keys (contract in recovery.h). */
#include "kernel/volume/recovery.h"

#include <linux/errno.h>

#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/secret.h"
#include "kernel/crypto/x25519.h"
#include "kernel/lib/string.h"

static const char label[] = "cofre volume recovery";

/* Both public keys go into it, so that it is of this pair alone. -EINVAL: nothing in common but zeros. */
static int derive(const uint8_t secret[32], const uint8_t peer[32], const struct volume_recovery_params *params,
                  uint8_t ret_key[32])
{
    static const uint8_t zeros[32];
    uint8_t info[sizeof(label) - 1 + sizeof(*params)], shared[32];
    x25519(secret, peer, shared);
    int error = memory_equal_ct(shared, zeros, sizeof(shared)) ? -EINVAL : 0;
    memcpy(info, label, sizeof(label) - 1);
    memcpy(info + sizeof(label) - 1, params, sizeof(*params));
    hkdf_sha256(shared, sizeof(shared), zeros, sizeof(zeros), info, sizeof(info), ret_key, 32);
    memory_wipe(shared, sizeof(shared));
    return error;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int volume_recovery_parse(const char *text, uint8_t ret_key[RECOVERY_KEY_SIZE])
{
    if (strlen(text) != 2 * RECOVERY_KEY_SIZE)
        return -EINVAL;
    for (unsigned i = 0; i < RECOVERY_KEY_SIZE; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        ret_key[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

int volume_recovery_new(const uint8_t recipient[RECOVERY_KEY_SIZE], uint8_t fresh[RECOVERY_KEY_SIZE],
                        struct volume_key_slot *ret_slot, uint8_t ret_key[32])
{
    struct volume_recovery_params params;
    x25519_public(fresh, params.ephemeral);
    memcpy(params.recipient, recipient, sizeof(params.recipient));
    int error = derive(fresh, recipient, &params, ret_key);
    memory_wipe(fresh, RECOVERY_KEY_SIZE);
    *ret_slot = (struct volume_key_slot){.type = VOLUME_KEY_RECOVERY, .params_size = sizeof(params)};
    memcpy(ret_slot->params, &params, sizeof(params));
    string_copy(ret_slot->name, "recovery key", sizeof(ret_slot->name));
    return error;
}

bool volume_recovery_is_for(const struct volume_key_slot *slot, const uint8_t recipient[RECOVERY_KEY_SIZE])
{
    return slot->type == VOLUME_KEY_RECOVERY && slot->params_size == sizeof(struct volume_recovery_params) &&
           memcmp(slot->params + offsetof(struct volume_recovery_params, recipient), recipient, RECOVERY_KEY_SIZE) == 0;
}

int volume_recovery_open(const uint8_t private_key[RECOVERY_KEY_SIZE], const struct volume_key_slot *slot,
                         uint8_t ret_key[32])
{
    struct volume_recovery_params params;
    uint8_t own[RECOVERY_KEY_SIZE];
    x25519_public(private_key, own);
    if (!volume_recovery_is_for(slot, own))
        return -ENOKEY;
    memcpy(&params, slot->params, sizeof(params));
    return derive(private_key, params.ephemeral, &params, ret_key) < 0 ? -ENOKEY : 0;
}
