/* Collateral from files: Cofre's bundles, DCAP's structure in JSON, folders. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attest/bundle.h"
#include "attest/collateral.h"
#include "attest/file.h"
#include "image/error.h"

/*
 * Each document: its file in a folder; its member in the JSON of sgx_ql_qve_collateral_t. Some tools write signed
 * documents there without their wrapper, and the signature as a member of its own.
 */
static const struct {
    const char *file, *member;
    const char *wrapper, *signature;
    size_t offset;
} table[] = {
#define ROW(name) offsetof(struct attest_documents, name)
    {"tcb_info.json", "tcb_info", "tcbInfo", "tcb_info_signature", ROW(tcb_info)},
    {"tcb_info_chain.pem", "tcb_info_issuer_chain", NULL, NULL, ROW(tcb_info_chain)},
    {"qe_identity.json", "qe_identity", "enclaveIdentity", "qe_identity_signature", ROW(qe_identity)},
    {"qe_identity_chain.pem", "qe_identity_issuer_chain", NULL, NULL, ROW(qe_identity_chain)},
    {"pck_crl.der", "pck_crl", NULL, NULL, ROW(pck_crl)},
    {"pck_crl_chain.pem", "pck_crl_issuer_chain", NULL, NULL, ROW(pck_crl_chain)},
    {"root_crl.der", "root_ca_crl", NULL, NULL, ROW(root_crl)},
    {"pck_chain.pem", "pck_certificate_chain", NULL, NULL, ROW(pck_chain)},
#undef ROW
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

/* The documents with the memory they stand in. */
struct owned {
    struct attest_documents documents;
    char *texts[TABLE_COUNT];
};

static void put(struct owned *owned, size_t row, char *text, size_t size)
{
    owned->texts[row] = text;
    *(struct attest_bytes *)((char *)&owned->documents + table[row].offset) = (struct attest_bytes){text, size};
}

static void owned_free(struct owned *owned)
{
    for (size_t i = 0; i < TABLE_COUNT; i++)
        free(owned->texts[i]);
}

static int read_folder(const char *path, struct owned *owned, char **ret_error)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        char *name;
        size_t size;
        if (asprintf(&name, "%s/%s", path, table[i].file) < 0)
            return error_set(ret_error, "out of memory");
        char *text =
            access(name, F_OK) == 0 ? attest_file_read(name, ATTEST_DOCUMENT_SIZE_MAX, &size, ret_error) : NULL;
        int failed = !text && access(name, F_OK) == 0;
        free(name);
        if (failed)
            return -1;
        if (text)
            put(owned, i, text, size);
    }
    return 0;
}

static char *member_text(const json_t *root, size_t row, const char *text)
{
    const char *signature =
        table[row].signature ? json_string_value(json_object_get(root, table[row].signature)) : NULL;
    char *whole = NULL;
    if (!signature)
        return strdup(text);
    return asprintf(&whole, "{\"%s\":%s,\"signature\":\"%s\"}", table[row].wrapper, text, signature) < 0 ? NULL : whole;
}

static int read_members(const json_t *root, struct owned *owned, char **ret_error)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const json_t *member = json_object_get(root, table[i].member);
        if (!member)
            continue;
        if (!json_is_string(member))
            return error_set(ret_error, "%s: it is no string", table[i].member);
        char *text = member_text(root, i, json_string_value(member));
        if (!text)
            return error_set(ret_error, "out of memory");
        put(owned, i, text, strlen(text));
    }
    return owned->documents.tcb_info.data ? 0 : error_set(ret_error, "it is neither a bundle nor DCAP's collateral");
}

static struct attest_collateral *from_documents(int result, struct owned *owned, const struct attest_roots *roots,
                                                char **ret_error)
{
    struct attest_collateral *collateral = result == 0 ? attest_collateral_new(&owned->documents, roots) : NULL;
    if (result == 0 && !collateral)
        error_set(ret_error, "out of memory");
    owned_free(owned);
    return collateral;
}

static struct attest_collateral *from_json(const json_t *root, const char *text, size_t size,
                                           const struct attest_roots *roots, char **ret_error)
{
    struct attest_bundle bundle;
    struct owned owned = {0};
    if (!json_object_get(root, "format"))
        return from_documents(read_members(root, &owned, ret_error), &owned, roots, ret_error);
    if (attest_bundle_parse(text, size, &bundle, ret_error) < 0)
        return NULL;
    struct attest_collateral *collateral = attest_collateral_from_bundle(&bundle, roots);
    attest_bundle_free(&bundle);
    if (!collateral)
        error_set(ret_error, "out of memory");
    return collateral;
}

static struct attest_collateral *load_file(const char *path, const struct attest_roots *roots, char **ret_error)
{
    size_t size;
    json_error_t detail;
    char *text = attest_file_read(path, ATTEST_BUNDLE_SIZE_MAX, &size, ret_error);
    if (!text)
        return NULL;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &detail);
    struct attest_collateral *collateral = NULL;
    if (root)
        collateral = from_json(root, text, size, roots, ret_error);
    else
        error_set(ret_error, "it is not JSON: line %d: %s", detail.line, detail.text);
    json_decref(root);
    free(text);
    if (!collateral)
        error_wrap(ret_error, "%s", path);
    return collateral;
}

struct attest_collateral *attest_collateral_load(const char *path, const struct attest_roots *roots, char **ret_error)
{
    struct owned owned = {0};
    struct stat st;
    if (stat(path, &st) < 0) {
        error_set_errno(ret_error, errno, "%s", path);
        return NULL;
    }
    if (!S_ISDIR(st.st_mode))
        return load_file(path, roots, ret_error);
    return from_documents(read_folder(path, &owned, ret_error), &owned, roots, ret_error);
}
