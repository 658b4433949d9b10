/* Identities of quoting enclaves. */
#include "attest/qe_identity.h"

#include <stdlib.h>
#include <string.h>

#include "image/error.h"

static int read_kind(struct qe_identity *identity, const json_t *object, char **ret_error)
{
    const char *id;
    uint64_t version, number;
    if (json_get_string(object, "id", &id, ret_error) < 0 ||
        json_get_number(object, "version", UINT32_MAX, &version, ret_error) < 0 ||
        json_get_number(object, "tcbEvaluationDataNumber", UINT32_MAX, &number, ret_error) < 0)
        return -1;
    if (strcmp(id, "QE") != 0 && strcmp(id, "TD_QE") != 0)
        return error_set(ret_error, "id: it is the identity of \"%.16s\", not of a quoting enclave", id);
    if (version != 2)
        return error_set(ret_error, "version: %lu is not known (2 is)", (unsigned long)version);
    identity->is_tdx = id[0] == 'T';
    identity->evaluation_number = (uint32_t)number;
    return 0;
}

static int read_enclave(struct qe_identity *identity, const json_t *object, char **ret_error)
{
    uint64_t product;
    if (json_get_hex(object, "miscselect", &identity->miscselect, sizeof(identity->miscselect), ret_error) < 0 ||
        json_get_hex(object, "miscselectMask", &identity->miscselect_mask, sizeof(identity->miscselect_mask),
                     ret_error) < 0 ||
        json_get_hex(object, "attributes", identity->attributes, sizeof(identity->attributes), ret_error) < 0 ||
        json_get_hex(object, "attributesMask", identity->attributes_mask, sizeof(identity->attributes_mask),
                     ret_error) < 0 ||
        json_get_hex(object, "mrsigner", identity->mrsigner, sizeof(identity->mrsigner), ret_error) < 0 ||
        json_get_number(object, "isvprodid", UINT16_MAX, &product, ret_error) < 0)
        return -1;
    identity->isv_product_id = (uint16_t)product;
    return 0;
}

int qe_identity_parse(const json_t *object, struct qe_identity *ret_identity, char **ret_error)
{
    struct qe_identity identity = {0};
    if (read_kind(&identity, object, ret_error) < 0 || json_get_validity(object, &identity.validity, ret_error) < 0 ||
        read_enclave(&identity, object, ret_error) < 0 ||
        isvsvn_levels_parse(object, &identity.level_count, &identity.levels, ret_error) < 0)
        return -1;
    *ret_identity = identity;
    return 0;
}

void qe_identity_free(struct qe_identity *identity)
{
    free(identity->levels);
    *identity = (struct qe_identity){0};
}

int qe_identity_check(const struct qe_identity *identity, const struct attest_sgx_body *report, char **ret_error)
{
    uint8_t attributes[16];
    if ((report->miscselect & identity->miscselect_mask) != identity->miscselect)
        return error_set(ret_error, "its MISCSELECT is not the quoting enclave's");
    memcpy(attributes, &report->attributes, 8);
    memcpy(attributes + 8, &report->xfrm, 8);
    for (size_t i = 0; i < sizeof(attributes); i++)
        if ((attributes[i] & identity->attributes_mask[i]) != identity->attributes[i])
            return error_set(ret_error, "its ATTRIBUTES are not the quoting enclave's");
    if (memcmp(report->mrsigner, identity->mrsigner, sizeof(identity->mrsigner)) != 0)
        return error_set(ret_error, "its MRSIGNER is not the quoting enclave's");
    if (report->isv_product_id != identity->isv_product_id)
        return error_set(ret_error, "its ISVPRODID is %u, not the quoting enclave's %u", report->isv_product_id,
                         identity->isv_product_id);
    return 0;
}
