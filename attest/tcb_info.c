/* Parsing TCB info. */
#include "attest/tcb_info.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/error.h"

/* Version 3: [{"svn": 1, ...}, ...] of 16. */
static int read_components(const json_t *tcb, const char *name, uint8_t ret_svns[16], char **ret_error)
{
    json_t *components, *component;
    uint64_t svn;
    size_t i;
    if (json_get_array(tcb, name, 16, &components, ret_error) < 0)
        return -1;
    if (json_array_size(components) != 16)
        return error_set(ret_error, "%s: it has %zu members, not 16", name, json_array_size(components));
    json_array_foreach(components, i, component)
    {
        if (!json_is_object(component) || json_get_number(component, "svn", UINT8_MAX, &svn, ret_error) < 0)
            return error_wrap(ret_error, "%s[%zu]", name, i);
        ret_svns[i] = (uint8_t)svn;
    }
    return 0;
}

/* Version 2: "sgxtcbcomp01svn": 1, ... */
static int read_components_v2(const json_t *tcb, uint8_t ret_svns[16], char **ret_error)
{
    for (int i = 0; i < 16; i++) {
        char name[32];
        uint64_t svn;
        snprintf(name, sizeof(name), "sgxtcbcomp%02dsvn", i + 1);
        if (json_get_number(tcb, name, UINT8_MAX, &svn, ret_error) < 0)
            return -1;
        ret_svns[i] = (uint8_t)svn;
    }
    return 0;
}

static int read_level(const struct tcb_info *info, const json_t *json, struct tcb_level *level, char **ret_error)
{
    json_t *tcb;
    uint64_t pce_svn;
    if (json_get_object(json, "tcb", &tcb, ret_error) < 0 ||
        json_get_number(tcb, "pcesvn", UINT16_MAX, &pce_svn, ret_error) < 0)
        return -1;
    level->pce_svn = (uint16_t)pce_svn;
    if (info->version == 2 ? read_components_v2(tcb, level->sgx, ret_error) < 0
                           : read_components(tcb, "sgxtcbcomponents", level->sgx, ret_error) < 0)
        return -1;
    if (info->is_tdx && read_components(tcb, "tdxtcbcomponents", level->tdx, ret_error) < 0)
        return -1;
    return json_get_level(json, &level->tcb, ret_error);
}

static int read_levels(struct tcb_info *info, const json_t *object, char **ret_error)
{
    json_t *levels, *level;
    size_t i;
    if (json_get_array(object, "tcbLevels", TCB_LEVEL_COUNT_MAX, &levels, ret_error) < 0)
        return -1;
    info->levels = calloc(json_array_size(levels), sizeof(*info->levels));
    if (!info->levels)
        return error_set(ret_error, "out of memory");
    json_array_foreach(levels, i, level)
    {
        if (read_level(info, level, &info->levels[i], ret_error) < 0)
            return error_wrap(ret_error, "tcbLevels[%zu]", i);
        info->level_count++;
    }
    return 0;
}

static int read_isvsvn_level(const json_t *json, struct isvsvn_level *level, char **ret_error)
{
    json_t *tcb;
    uint64_t isvsvn;
    if (json_get_object(json, "tcb", &tcb, ret_error) < 0 ||
        json_get_number(tcb, "isvsvn", UINT16_MAX, &isvsvn, ret_error) < 0)
        return -1;
    level->isvsvn = (uint16_t)isvsvn;
    return json_get_level(json, &level->tcb, ret_error);
}

int isvsvn_levels_parse(const json_t *object, size_t *ret_count, struct isvsvn_level **ret_levels, char **ret_error)
{
    json_t *array, *json;
    size_t i;
    if (json_get_array(object, "tcbLevels", ISVSVN_LEVEL_COUNT_MAX, &array, ret_error) < 0)
        return -1;
    struct isvsvn_level *levels = calloc(json_array_size(array), sizeof(*levels));
    if (!levels)
        return error_set(ret_error, "out of memory");
    json_array_foreach(array, i, json)
    {
        if (read_isvsvn_level(json, &levels[i], ret_error) < 0) {
            free(levels);
            return error_wrap(ret_error, "tcbLevels[%zu]", i);
        }
    }
    *ret_count = json_array_size(array);
    *ret_levels = levels;
    return 0;
}

static int read_u64_hex(const json_t *object, const char *name, uint64_t *ret_value, char **ret_error)
{
    /* Byte order is that of memory, as in the report. */
    return json_get_hex(object, name, ret_value, sizeof(*ret_value), ret_error);
}

static int read_module_base(const json_t *json, struct tdx_module *module, char **ret_error)
{
    if (json_get_hex(json, "mrsigner", module->mrsigner, sizeof(module->mrsigner), ret_error) < 0 ||
        read_u64_hex(json, "attributes", &module->attributes, ret_error) < 0 ||
        read_u64_hex(json, "attributesMask", &module->attributes_mask, ret_error) < 0)
        return -1;
    return 0;
}

/* "TDX_03": two hex digits in either case. */
static int read_module_version(const json_t *json, uint8_t *ret_version, char **ret_error)
{
    const char *id;
    if (json_get_string(json, "id", &id, ret_error) < 0)
        return -1;
    if (strlen(id) != 6 || strncasecmp(id, "TDX_", 4) != 0 || !isxdigit((unsigned char)id[4]) ||
        !isxdigit((unsigned char)id[5]))
        return error_set(ret_error, "id: \"%.16s\" is not TDX_ and two hex digits", id);
    *ret_version = (uint8_t)strtoul(id + 4, NULL, 16);
    return 0;
}

static int read_modules(struct tcb_info *info, const json_t *object, char **ret_error)
{
    json_t *base, *array, *json;
    size_t i;
    if (json_get_object(object, "tdxModule", &base, ret_error) < 0)
        return -1;
    if (read_module_base(base, &info->module, ret_error) < 0)
        return error_wrap(ret_error, "tdxModule");
    if (!json_object_get(object, "tdxModuleIdentities"))
        return 0;
    if (json_get_array(object, "tdxModuleIdentities", TDX_MODULE_COUNT_MAX, &array, ret_error) < 0)
        return -1;
    info->modules = calloc(json_array_size(array), sizeof(*info->modules));
    if (!info->modules)
        return error_set(ret_error, "out of memory");
    json_array_foreach(array, i, json)
    {
        struct tdx_module *module = &info->modules[i];
        if (read_module_version(json, &module->version, ret_error) < 0 ||
            read_module_base(json, module, ret_error) < 0 ||
            isvsvn_levels_parse(json, &module->level_count, &module->levels, ret_error) < 0)
            return error_wrap(ret_error, "tdxModuleIdentities[%zu]", i);
        info->module_count++;
    }
    return 0;
}

static int read_kind(struct tcb_info *info, const json_t *object, char **ret_error)
{
    const char *id;
    uint64_t version, type, number;
    if (json_get_number(object, "version", UINT32_MAX, &version, ret_error) < 0)
        return -1;
    if (version != 2 && version != 3)
        return error_set(ret_error, "version: %lu is not known (2 and 3 are)", (unsigned long)version);
    info->version = (uint32_t)version;
    if (version == 3) {
        if (json_get_string(object, "id", &id, ret_error) < 0)
            return -1;
        if (strcmp(id, "SGX") != 0 && strcmp(id, "TDX") != 0)
            return error_set(ret_error, "id: \"%.16s\" is neither SGX nor TDX", id);
        info->is_tdx = id[0] == 'T';
    }
    if (json_get_number(object, "tcbType", UINT32_MAX, &type, ret_error) < 0 ||
        json_get_number(object, "tcbEvaluationDataNumber", UINT32_MAX, &number, ret_error) < 0)
        return -1;
    if (type != 0)
        return error_set(ret_error, "tcbType: %lu is not known (0 is)", (unsigned long)type);
    info->evaluation_number = (uint32_t)number;
    return 0;
}

int tcb_info_parse(const json_t *object, struct tcb_info *ret_info, char **ret_error)
{
    struct tcb_info info = {0};
    int result = read_kind(&info, object, ret_error);
    if (result == 0)
        result = json_get_validity(object, &info.validity, ret_error);
    if (result == 0)
        result = json_get_hex(object, "fmspc", info.fmspc, sizeof(info.fmspc), ret_error);
    if (result == 0)
        result = json_get_hex(object, "pceId", info.pce_id, sizeof(info.pce_id), ret_error);
    if (result == 0 && info.is_tdx)
        result = read_modules(&info, object, ret_error);
    if (result == 0)
        result = read_levels(&info, object, ret_error);
    if (result < 0) {
        tcb_info_free(&info);
        return -1;
    }
    *ret_info = info;
    return 0;
}

void tcb_info_free(struct tcb_info *info)
{
    for (size_t i = 0; i < info->module_count; i++)
        free(info->modules[i].levels);
    free(info->modules);
    free(info->levels);
    *info = (struct tcb_info){0};
}

const struct isvsvn_level *isvsvn_level_find(const struct isvsvn_level *levels, size_t count, uint16_t isvsvn)
{
    for (size_t i = 0; i < count; i++)
        if (isvsvn >= levels[i].isvsvn)
            return &levels[i];
    return NULL;
}

const struct tdx_module *tcb_info_module(const struct tcb_info *info, uint8_t version)
{
    for (size_t i = 0; i < info->module_count; i++)
        if (info->modules[i].version == version)
            return &info->modules[i];
    return NULL;
}
