/*
 * Appraisal policies in YAML: a tree of tables says which keys there are, what they hold and where it goes, so that an
 * unknown key or a value of the wrong kind is named with its line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "attest/date.h"
#include "attest/encode.h"
#include "attest/file.h"
#include "attest/policy_parts.h"
#include "image/error.h"

#define FILE_SIZE_MAX (1U << 20)

struct parser {
    yaml_document_t document;
    const char *name;
    char path[128]; /* of the key being read */
    char **error;
};

struct key;
typedef int (*key_fn)(struct parser *p, yaml_node_t *node, const struct key *key, void *target);

struct key {
    const char *name;
    key_fn fn;
    size_t offset; /* of the field in the target */
    size_t size;   /* bytes of hex digits, or the largest number */
    int bit;       /* of policy_identity.has */
    const struct key *keys;
};

static int bad(struct parser *p, const yaml_node_t *node, const char *what)
{
    return error_set(p->error, "%s:%zu: %s%s%s", p->name, node->start_mark.line + 1, p->path, p->path[0] ? ": " : "",
                     what);
}

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

static void *field(const struct key *key, void *target)
{
    return (char *)target + key->offset;
}

static int check_key(struct parser *p, const yaml_node_t *node, const yaml_node_pair_t *pair, const yaml_node_t *name)
{
    if (name->type != YAML_SCALAR_NODE)
        return bad(p, name, "a key must be plain text");
    for (const yaml_node_pair_t *other = node->data.mapping.pairs.start; other < pair; other++)
        if (strcmp(scalar(yaml_document_get_node(&p->document, other->key)), scalar(name)) == 0)
            return error_set(p->error, "%s:%zu: key \"%.64s\" appears twice", p->name, name->start_mark.line + 1,
                             scalar(name));
    return 0;
}

static int read_mapping(struct parser *p, const yaml_node_t *node, const struct key *keys, void *target)
{
    if (node->type != YAML_MAPPING_NODE)
        return bad(p, node, "a mapping (NAME: VALUE lines) is wanted here");
    size_t path_size = strlen(p->path);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(&p->document, pair->key);
        if (check_key(p, node, pair, name) < 0)
            return -1;
        const struct key *key = keys;
        while (key->name && strcmp(key->name, scalar(name)) != 0)
            key++;
        if (!key->name)
            return error_set(p->error, "%s:%zu: unknown key \"%s%s%.64s\" (man cofre-appraisal lists them)", p->name,
                             name->start_mark.line + 1, p->path, path_size ? "." : "", scalar(name));
        snprintf(p->path + path_size, sizeof(p->path) - path_size, "%s%s", path_size ? "." : "", key->name);
        int result = key->fn(p, yaml_document_get_node(&p->document, pair->value), key, target);
        p->path[path_size] = 0;
        if (result < 0)
            return -1;
    }
    return 0;
}

static int read_nested(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    return read_mapping(p, node, key->keys, target);
}

static int parse_u64(const yaml_node_t *node, uint64_t max, uint64_t *ret_value)
{
    const char *text = scalar(node);
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return -1;
    *ret_value = strtoull(text, &end, 0);
    return errno || *end || *ret_value > max ? -1 : 0;
}

static int read_u16(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    uint64_t value;
    if (parse_u64(node, UINT16_MAX, &value) < 0)
        return bad(p, node, "a number from 0 to 65535 is wanted here");
    *(uint16_t *)field(key, target) = (uint16_t)value;
    if (key->bit >= 0)
        ((struct policy_identity *)target)->has |= 1U << key->bit;
    return 0;
}

static int read_u32(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    uint64_t value;
    if (parse_u64(node, UINT32_MAX, &value) < 0)
        return bad(p, node, "a number of 32 bits is wanted here");
    *(uint32_t *)field(key, target) = (uint32_t)value;
    return 0;
}

static int read_u64(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    if (parse_u64(node, UINT64_MAX, field(key, target)) < 0)
        return bad(p, node, "a number of 64 bits is wanted here, such as 0x03");
    return 0;
}

static int read_bool(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    const char *text = scalar(node);
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return bad(p, node, "true or false is wanted here");
    *(bool *)field(key, target) = text[0] == 't';
    return 0;
}

static int read_date(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    char text[32];
    const char *given = scalar(node);
    snprintf(text, sizeof(text), strlen(given) == 10 ? "%sT00:00:00Z" : "%s", given);
    if (!attest_date_parse(text, field(key, target)))
        return bad(p, node, "a date is wanted here, such as 2026-01-31 or 2026-01-31T00:00:00Z");
    return 0;
}

static int read_version(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    return strcmp(scalar(node), "1") == 0 ? 0 : bad(p, node, "only version 1 is known");
}

/* Exactly key->size bytes. */
static int read_hex(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    char what[64];
    snprintf(what, sizeof(what), "%zu hex digits are wanted here", 2 * key->size);
    if (node->type != YAML_SCALAR_NODE || attest_hex_decode(scalar(node), field(key, target), key->size) < 0)
        return bad(p, node, what);
    if (key->bit >= 0)
        ((struct policy_identity *)target)->has |= 1U << key->bit;
    return 0;
}

static int read_report_data(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    struct attest_policy *policy = target;
    size_t digits = strlen(scalar(node));
    if (node->type != YAML_SCALAR_NODE || digits == 0 || digits > 128 ||
        attest_hex_decode(scalar(node), policy->report_data, digits / 2) < 0)
        return bad(p, node, "up to 128 hex digits are wanted here");
    policy->report_data_size = digits / 2;
    return 0;
}

static int read_name(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    struct policy_identity *identity = target;
    if (!*scalar(node) || strlen(scalar(node)) >= sizeof(identity->name))
        return bad(p, node, "a short name is wanted here");
    strcpy(identity->name, scalar(node));
    return 0;
}

/* Calls fn for each member of a list of at most POLICY_LIST_MAX. */
static int each(struct parser *p, const yaml_node_t *node, const struct key *key, void *target, key_fn fn)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "a list is wanted here");
    if (node->data.sequence.items.top - node->data.sequence.items.start > POLICY_LIST_MAX)
        return bad(p, node, "the list is too long (64)");
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
        if (fn(p, yaml_document_get_node(&p->document, *item), key, target) < 0)
            return -1;
    return 0;
}

static int add_string(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    struct policy_strings *strings = field(key, target);
    if (!*scalar(node) || strlen(scalar(node)) >= sizeof(strings->items[0]))
        return bad(p, node, "an advisory is wanted here, such as INTEL-SA-00615");
    strcpy(strings->items[strings->count++], scalar(node));
    return 0;
}

static int read_strings(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    return each(p, node, key, target, add_string);
}

static int read_accepted(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    ((struct attest_policy *)target)->has_accepted_advisories = true;
    return each(p, node, key, target, add_string);
}

static int add_digest(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    struct policy_digests *digests = field(key, target);
    char what[64];
    snprintf(what, sizeof(what), "%zu hex digits are wanted here", 2 * key->size);
    if (attest_hex_decode(scalar(node), digests->items[digests->count], key->size) < 0)
        return bad(p, node, what);
    digests->count++;
    return 0;
}

static int read_digests(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    return each(p, node, key, target, add_digest);
}

static int add_status(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    enum attest_tcb_status status = attest_tcb_status_parse(scalar(node));
    if (status == ATTEST_TCB_UNRECOGNIZED || status == ATTEST_TCB_REVOKED)
        return bad(p, node, "a TCB status that may be accepted is wanted here, such as UpToDate or SWHardeningNeeded");
    ((struct attest_policy *)target)->statuses |= 1U << status;
    return 0;
}

static int read_statuses(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    ((struct attest_policy *)target)->statuses = 0;
    return each(p, node, key, target, add_status);
}

static int add_identity(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    struct attest_policy *policy = target;
    struct policy_identity *identity = &policy->identities[policy->identity_count];
    const uint32_t sufficient = 1U << POLICY_MRENCLAVE | 1U << POLICY_MRSIGNER | 1U << POLICY_MRTD;
    if (read_mapping(p, node, key->keys, identity) < 0)
        return -1;
    if (!(identity->has & sufficient))
        return bad(p, node, "an identity needs mrenclave, mrsigner or mrtd");
    if (identity->has & 1U << POLICY_MRSIGNER && !(identity->has & 1U << POLICY_MRENCLAVE) &&
        !(identity->has & 1U << POLICY_PRODUCT))
        return bad(p, node, "mrsigner without product would let in everything that its owner ever signed");
    policy->identity_count++;
    return 0;
}

static int read_identities(struct parser *p, yaml_node_t *node, const struct key *key, void *target)
{
    return each(p, node, key, target, add_identity);
}

#define IDENTITY(name, member, bit)                                                                                    \
    {                                                                                                                  \
        name, read_hex, offsetof(struct policy_identity, member), sizeof(((struct policy_identity *)0)->member), bit,  \
            NULL                                                                                                       \
    }
static const struct key identity_keys[] = {
    {"name", read_name, 0, 0, -1, NULL},
    IDENTITY("mrenclave", mrenclave, POLICY_MRENCLAVE),
    IDENTITY("mrsigner", mrsigner, POLICY_MRSIGNER),
    {"product", read_u16, offsetof(struct policy_identity, product), 0, POLICY_PRODUCT, NULL},
    {"minimum_svn", read_u16, offsetof(struct policy_identity, minimum_svn), 0, POLICY_MINIMUM_SVN, NULL},
    IDENTITY("config_id", config_id, POLICY_CONFIG_ID),
    {"minimum_config_svn", read_u16, offsetof(struct policy_identity, minimum_config_svn), 0, POLICY_MINIMUM_CONFIG_SVN,
     NULL},
    IDENTITY("family_id", family_id, POLICY_FAMILY_ID),
    IDENTITY("extended_product_id", extended_product_id, POLICY_EXTENDED_PRODUCT_ID),
    IDENTITY("mrtd", mrtd, POLICY_MRTD),
    IDENTITY("rtmr0", rtmr[0], POLICY_RTMR0),
    IDENTITY("rtmr1", rtmr[1], POLICY_RTMR1),
    IDENTITY("rtmr2", rtmr[2], POLICY_RTMR2),
    IDENTITY("rtmr3", rtmr[3], POLICY_RTMR3),
    IDENTITY("mrconfig_id", mrconfig_id, POLICY_MRCONFIG_ID),
    IDENTITY("mrowner", mrowner, POLICY_MROWNER),
    IDENTITY("mrowner_config", mrowner_config, POLICY_MROWNER_CONFIG),
    IDENTITY("mrseam", mrseam, POLICY_MRSEAM),
    {0},
};

#define FIELD(name, fn, member)                                                                                        \
    {                                                                                                                  \
        name, fn, offsetof(struct attest_policy, member), 0, -1, NULL                                                  \
    }
static const struct key tcb_keys[] = {
    FIELD("statuses", read_statuses, statuses),
    FIELD("accept_advisories", read_accepted, accepted_advisories),
    FIELD("reject_advisories", read_strings, rejected_advisories),
    FIELD("minimum_evaluation_number", read_u32, minimum_evaluation_number),
    FIELD("minimum_date", read_date, minimum_tcb_date),
    {0},
};

#define BITS(bits, member)                                                                                             \
    static const struct key bits[] = {FIELD("mask", read_u64, member.mask), FIELD("value", read_u64, member.value), {0}}
BITS(attributes_keys, attributes);
BITS(xfrm_keys, xfrm);
BITS(miscselect_keys, miscselect);
BITS(td_attributes_keys, td_attributes);
BITS(xfam_keys, xfam);

static const struct key platform_keys[] = {
    {"fmspc", read_digests, offsetof(struct attest_policy, fmspcs), 6, -1, NULL},
    {"ppid", read_digests, offsetof(struct attest_policy, ppids), 16, -1, NULL},
    {"instance", read_digests, offsetof(struct attest_policy, platform_instances), 16, -1, NULL},
    FIELD("allow_smt", read_bool, allow_smt),
    FIELD("allow_dynamic_platform", read_bool, allow_dynamic_platform),
    FIELD("allow_cached_keys", read_bool, allow_cached_keys),
    {0},
};

static const struct key collateral_keys[] = {
    FIELD("maximum_age_days", read_u32, maximum_age_days),
    FIELD("allow_expired", read_bool, allow_expired),
    {0},
};

static const struct key report_data_keys[] = {
    FIELD("begins_with", read_report_data, report_data),
    FIELD("binding", read_bool, require_binding),
    {0},
};

#define NESTED(name, keys)                                                                                             \
    {                                                                                                                  \
        name, read_nested, 0, 0, -1, keys                                                                              \
    }
static const struct key top_keys[] = {
    {"version", read_version, 0, 0, -1, NULL},
    {"identities", read_identities, 0, 0, -1, identity_keys},
    FIELD("any_identity", read_bool, any_identity),
    FIELD("debug", read_bool, debug),
    FIELD("simulation", read_bool, simulation),
    FIELD("unknown_attributes", read_bool, unknown_attributes),
    FIELD("provision_key", read_bool, provision_key),
    FIELD("tokens", read_bool, tokens),
    NESTED("tcb", tcb_keys),
    NESTED("attributes", attributes_keys),
    NESTED("xfrm", xfrm_keys),
    NESTED("miscselect", miscselect_keys),
    NESTED("td_attributes", td_attributes_keys),
    NESTED("xfam", xfam_keys),
    NESTED("platforms", platform_keys),
    NESTED("collateral", collateral_keys),
    NESTED("report_data", report_data_keys),
    {0},
};

static struct attest_policy *new_policy(void)
{
    struct attest_policy *policy = calloc(1, sizeof(*policy));
    if (!policy)
        return NULL;
    policy->statuses = 1U << ATTEST_TCB_UP_TO_DATE;
    policy->allow_smt = policy->allow_dynamic_platform = policy->allow_cached_keys = true;
    return policy;
}

struct attest_policy *attest_policy_default(void)
{
    struct attest_policy *policy = new_policy();
    if (policy)
        policy->any_identity = true;
    return policy;
}

static int check_bits(struct parser *p, const struct attest_policy *policy)
{
    const struct policy_bits *all[] = {&policy->attributes, &policy->xfrm, &policy->miscselect, &policy->td_attributes,
                                       &policy->xfam};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i]->value & ~all[i]->mask)
            return error_set(p->error, "%s: a value has bits that its mask does not: nothing would ever match",
                             p->name);
    return 0;
}

static int check_whole(struct parser *p, const struct attest_policy *policy)
{
    if (!policy->identity_count && !policy->any_identity)
        return error_set(p->error, "%s: it names no identity; if any will do, say `any_identity: true`", p->name);
    if (policy->identity_count && policy->any_identity)
        return error_set(p->error, "%s: it names identities, and says that any will do", p->name);
    return check_bits(p, policy);
}

static int parse(struct parser *p, const char *text, size_t size, struct attest_policy *policy)
{
    yaml_parser_t yaml;
    if (!yaml_parser_initialize(&yaml))
        return error_set(p->error, "out of memory");
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, size);
    int result = 0;
    if (!yaml_parser_load(&yaml, &p->document)) {
        result = error_set(p->error, "%s:%zu: it is not YAML: %s", p->name, yaml.problem_mark.line + 1,
                           yaml.problem ? yaml.problem : "?");
        yaml_parser_delete(&yaml);
        return result;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&p->document);
    result = root ? read_mapping(p, root, top_keys, policy) : error_set(p->error, "%s: it is empty", p->name);
    yaml_document_delete(&p->document);
    if (result == 0 && (!yaml_parser_load(&yaml, &p->document) || yaml_document_get_root_node(&p->document)))
        result = error_set(p->error, "%s: something follows the policy", p->name);
    yaml_document_delete(&p->document);
    yaml_parser_delete(&yaml);
    return result < 0 ? -1 : check_whole(p, policy);
}

struct attest_policy *attest_policy_parse(const char *text, size_t size, const char *name, char **ret_error)
{
    struct parser p = {.name = name, .error = ret_error};
    struct attest_policy *policy = size <= FILE_SIZE_MAX ? new_policy() : NULL;
    if (!policy) {
        error_set(ret_error, size <= FILE_SIZE_MAX ? "out of memory" : "%s: it is too long", name);
        return NULL;
    }
    if (parse(&p, text, size, policy) == 0)
        return policy;
    attest_policy_free(policy);
    return NULL;
}

struct attest_policy *attest_policy_load(const char *path, char **ret_error)
{
    size_t size;
    char *text = attest_file_read(path, FILE_SIZE_MAX, &size, ret_error);
    if (!text)
        return NULL;
    struct attest_policy *policy = attest_policy_parse(text, size, path, ret_error);
    free(text);
    return policy;
}

void attest_policy_free(struct attest_policy *policy)
{
    free(policy);
}
