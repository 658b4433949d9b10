/* Wrapping keys of volumes (contract in volume_key.h). */
#include "kernel/fs/volume_key.h"

#include <linux/errno.h>

#include "kernel/crypto/sgx_key.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"

/* What a sealed slot's params hold: the key request. */
struct sealed_params {
    uint32_t policy; /* enum sgx_seal_policy */
    uint16_t isvsvn, reserved;
    uint8_t cpusvn[16];
    uint8_t keyid[32];
};
_Static_assert(sizeof(struct sealed_params) <= VOLUME_KEY_PARAMS_SIZE, "fits the slot");

static enum sgx_seal_policy seal_policy(const struct volume_key_source *source)
{
    return source->key == POLICY_VOLUME_MRSIGNER ? SGX_SEAL_MRSIGNER : SGX_SEAL_MRENCLAVE;
}

static int sealed_key(const struct volume_key_source *source, const struct sealed_params *params, uint8_t ret_key[32])
{
    char purpose[320];
    struct sgx_svn svn = {.isvsvn = params->isvsvn};
    memcpy(svn.cpusvn, params->cpusvn, sizeof(svn.cpusvn));
    snprintf(purpose, sizeof(purpose), "cofre volume %s", source->name);
    return sgx_seal_key_256(seal_policy(source), params->keyid, &svn, purpose, ret_key);
}

static bool wants_given(const struct volume_key_source *source)
{
    return source->key == POLICY_VOLUME_FILE || source->key == POLICY_VOLUME_SERVER;
}

static int given_key(const struct volume_key_source *source, uint8_t ret_key[32])
{
    if (!source->is_given)
        return -ENOKEY;
    memcpy(ret_key, source->given_key, 32);
    return 0;
}

int volume_key_unlock(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    const struct volume_key_source *source = arg;
    struct sealed_params params;
    if (wants_given(source)) /* what a passphrase makes is stretched outside: cofre volume derive */
        return slot->type == VOLUME_KEY_FILE || slot->type == VOLUME_KEY_PASSPHRASE ? given_key(source, ret_key)
                                                                                    : -ENOKEY;
    if (slot->type != VOLUME_KEY_SEALED || slot->params_size != sizeof(params))
        return -ENOKEY;
    memcpy(&params, slot->params, sizeof(params));
    return params.policy == (uint32_t)seal_policy(source) ? sealed_key(source, &params, ret_key) : -ENOKEY;
}

int volume_key_new(const struct volume_key_source *source, struct volume_key_slot *ret_slot, uint8_t ret_key[32])
{
    *ret_slot = (struct volume_key_slot){.type = VOLUME_KEY_FILE};
    if (wants_given(source)) {
        string_copy(ret_slot->name, source->key == POLICY_VOLUME_FILE ? "key file" : "key server",
                    sizeof(ret_slot->name));
        return given_key(source, ret_key);
    }
    struct sealed_params params = {.policy = seal_policy(source)};
    struct sgx_svn svn;
    sgx_svn_current(&svn);
    params.isvsvn = svn.isvsvn;
    memcpy(params.cpusvn, svn.cpusvn, sizeof(params.cpusvn));
    random_bytes(params.keyid, sizeof(params.keyid));
    ret_slot->type = VOLUME_KEY_SEALED;
    ret_slot->params_size = sizeof(params);
    memcpy(ret_slot->params, &params, sizeof(params));
    string_copy(ret_slot->name, source->key == POLICY_VOLUME_MRSIGNER ? "sealed, MRSIGNER" : "sealed, MRENCLAVE",
                sizeof(ret_slot->name));
    return sealed_key(source, &params, ret_key);
}
