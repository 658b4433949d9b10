/* Bundles of collateral. */
#include "attest/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attest/encode.h"
#include "image/error.h"

#define FORMAT "cofre-collateral-bundle"
#define VERSION 1

static const char *const names[ATTEST_DOCUMENT_KIND_COUNT] = {
    [ATTEST_DOCUMENT_TCB_INFO] = "tcbInfo",        [ATTEST_DOCUMENT_QE_IDENTITY] = "qeIdentity",
    [ATTEST_DOCUMENT_PCK_CRL] = "pckCrl",          [ATTEST_DOCUMENT_ROOT_CRL] = "rootCaCrl",
    [ATTEST_DOCUMENT_PCK_CERT] = "pckCertificate",
};

static bool is_binary(enum attest_document_kind kind)
{
    return kind == ATTEST_DOCUMENT_PCK_CRL || kind == ATTEST_DOCUMENT_ROOT_CRL;
}

static struct attest_document_request request_of(const struct attest_platform *platform, enum attest_document_kind kind)
{
    struct attest_document_request request = {.kind = kind, .tee = platform->tee, .ca = platform->ca};
    memcpy(request.fmspc, platform->fmspc, sizeof(request.fmspc));
    return request;
}

int attest_bundle_fetch(struct attest_source *source, const struct attest_platform *platform,
                        const struct attest_pck_request *pck, struct attest_bundle *ret_bundle, char **ret_error)
{
    struct attest_bundle bundle = {.platform = *platform, .created = time(NULL)};
    int result = 0;
    if (!(bundle.source = strdup(attest_source_url(source))))
        return error_set(ret_error, "out of memory");
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT && result == 0; kind++) {
        struct attest_document_request request = request_of(platform, (enum attest_document_kind)kind);
        int cached = 0;
        request.pck = pck;
        if (kind == ATTEST_DOCUMENT_PCK_CERT && !pck)
            continue;
        result = attest_fetch(source, &request, &bundle.documents[kind], &cached, ret_error);
        bundle.cached[kind] = cached != 0;
    }
    if (result < 0) {
        attest_bundle_free(&bundle);
        return -1;
    }
    *ret_bundle = bundle;
    return 0;
}

void attest_bundle_free(struct attest_bundle *bundle)
{
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT; kind++)
        attest_document_free(&bundle->documents[kind]);
    free(bundle->source);
    *bundle = (struct attest_bundle){0};
}

static json_t *document_json(const struct attest_document *document, enum attest_document_kind kind)
{
    char *base64 = is_binary(kind) ? attest_base64_encode(document->data, document->size) : NULL;
    json_t *json =
        base64 ? json_pack("{s:s}", "base64", base64) : json_pack("{s:s}", "text", (const char *)document->data);
    free(base64);
    if (json && document->chain)
        json_object_set_new(json, "issuerChain", json_string(document->chain));
    if (json && document->tcbm)
        json_object_set_new(json, "tcbm", json_string(document->tcbm));
    return json;
}

char *attest_bundle_format(const struct attest_bundle *bundle)
{
    char created[32], *fmspc = attest_hex_encode(bundle->platform.fmspc, sizeof(bundle->platform.fmspc));
    attest_time_format(bundle->created, created);
    json_t *documents = json_object();
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT && documents; kind++)
        if (bundle->documents[kind].data &&
            json_object_set_new(documents, names[kind],
                                document_json(&bundle->documents[kind], (enum attest_document_kind)kind)) < 0) {
            json_decref(documents);
            documents = NULL;
        }
    json_t *root = json_pack(
        "{s:s,s:i,s:s,s:s*,s:{s:s,s:s*,s:s},s:o}", "format", FORMAT, "version", VERSION, "created", created, "source",
        bundle->source, "platform", "tee", bundle->platform.tee == ATTEST_DOCUMENT_TDX ? "TDX" : "SGX", "fmspc", fmspc,
        "ca", bundle->platform.ca == ATTEST_DOCUMENT_CA_PLATFORM ? "platform" : "processor", "documents", documents);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    free(fmspc);
    return text;
}

static int parse_platform(const json_t *json, struct attest_platform *platform)
{
    const char *tee = json_string_value(json_object_get(json, "tee")),
               *ca = json_string_value(json_object_get(json, "ca"));
    const char *fmspc = json_string_value(json_object_get(json, "fmspc"));
    if (!tee || !ca || !fmspc || attest_hex_decode(fmspc, platform->fmspc, sizeof(platform->fmspc)) < 0)
        return -1;
    if ((strcmp(tee, "SGX") != 0 && strcmp(tee, "TDX") != 0) ||
        (strcmp(ca, "platform") != 0 && strcmp(ca, "processor") != 0))
        return -1;
    platform->tee = tee[0] == 'T' ? ATTEST_DOCUMENT_TDX : ATTEST_DOCUMENT_SGX;
    platform->ca = ca[1] == 'l' ? ATTEST_DOCUMENT_CA_PLATFORM : ATTEST_DOCUMENT_CA_PROCESSOR;
    return 0;
}

static int copy_member(const json_t *json, const char *name, char **ret_text)
{
    const char *text = json_string_value(json_object_get(json, name));
    return !text || (*ret_text = strdup(text)) ? 0 : -1;
}

static int parse_document(const json_t *json, struct attest_bundle *bundle, enum attest_document_kind kind,
                          char **ret_error)
{
    struct attest_document_request request = request_of(&bundle->platform, kind);
    struct attest_document *document = &bundle->documents[kind];
    const json_t *member = json_object_get(json, is_binary(kind) ? "base64" : "text");
    const char *text = json_string_value(member);
    size_t size = json_string_length(member);
    if (!text)
        return error_set(ret_error, "%s: its contents are missing", names[kind]);
    uint8_t *bytes = is_binary(kind) ? attest_base64_decode(text, size, &size) : NULL;
    if (is_binary(kind) && !bytes)
        return error_set(ret_error, "%s: it is not base64", names[kind]);
    int result = attest_document_parse(&request, bytes ? (const void *)bytes : text, size, document, ret_error);
    free(bytes);
    if (result < 0)
        return -1;
    if (copy_member(json, "issuerChain", &document->chain) < 0 || copy_member(json, "tcbm", &document->tcbm) < 0)
        return error_set(ret_error, "out of memory");
    if (kind != ATTEST_DOCUMENT_ROOT_CRL && !document->chain)
        return error_set(ret_error, "%s: its issuers' chain is missing", names[kind]);
    if (document->chain && attest_document_check_chain(document->chain, ret_error) < 0)
        return error_wrap(ret_error, "%s", names[kind]);
    return 0;
}

static int parse_root(const json_t *root, struct attest_bundle *bundle, char **ret_error)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *documents = json_object_get(root, "documents");
    if (!format || strcmp(format, FORMAT) != 0)
        return error_set(ret_error, "it is not a bundle of collateral");
    if (json_integer_value(json_object_get(root, "version")) != VERSION)
        return error_set(ret_error, "a bundle of another version than %d", VERSION);
    if (!attest_date_parse(json_string_value(json_object_get(root, "created")), &bundle->created))
        return error_set(ret_error, "it does not say when it was made");
    if (parse_platform(json_object_get(root, "platform"), &bundle->platform) < 0)
        return error_set(ret_error, "it does not say which platform it is for");
    if (copy_member(root, "source", &bundle->source) < 0)
        return error_set(ret_error, "out of memory");
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT; kind++) {
        const json_t *json = json_object_get(documents, names[kind]);
        if (!json && kind == ATTEST_DOCUMENT_PCK_CERT)
            continue;
        if (!json)
            return error_set(ret_error, "%s is missing", names[kind]);
        if (parse_document(json, bundle, (enum attest_document_kind)kind, ret_error) < 0)
            return -1;
    }
    return 0;
}

int attest_bundle_parse(const char *text, size_t size, struct attest_bundle *ret_bundle, char **ret_error)
{
    struct attest_bundle bundle = {0};
    json_error_t detail;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &detail);
    if (!root)
        return error_set(ret_error, "it is not JSON: line %d: %s", detail.line, detail.text);
    int result = parse_root(root, &bundle, ret_error);
    json_decref(root);
    if (result < 0) {
        attest_bundle_free(&bundle);
        return -1;
    }
    *ret_bundle = bundle;
    return 0;
}

static char *load_text(const char *path, size_t *ret_size, char **ret_error)
{
    FILE *file = fopen(path, "re");
    char *text = malloc(ATTEST_BUNDLE_SIZE_MAX + 1);
    if (!file || !text) {
        error_set_errno(ret_error, errno, "%s", path);
        if (file)
            fclose(file);
        free(text);
        return NULL;
    }
    *ret_size = fread(text, 1, ATTEST_BUNDLE_SIZE_MAX + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || *ret_size > ATTEST_BUNDLE_SIZE_MAX) {
        error_set(ret_error, failed ? "%s: it cannot be read" : "%s: it is too long to be a bundle", path);
        free(text);
        return NULL;
    }
    return text;
}

int attest_bundle_load(const char *path, struct attest_bundle *ret_bundle, char **ret_error)
{
    size_t size;
    char *text = load_text(path, &size, ret_error);
    if (!text)
        return -1;
    int result = attest_bundle_parse(text, size, ret_bundle, ret_error);
    free(text);
    return result < 0 ? error_wrap(ret_error, "%s", path) : 0;
}

static bool write_text(int fd, const char *text)
{
    size_t size = strlen(text);
    return fchmod(fd, 0644) == 0 && write(fd, text, size) == (ssize_t)size && write(fd, "\n", 1) == 1 && fsync(fd) == 0;
}

int attest_bundle_save(const struct attest_bundle *bundle, const char *path, char **ret_error)
{
    char *text = attest_bundle_format(bundle), *temporary = NULL;
    if (!text || asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        free(text);
        return error_set(ret_error, "out of memory");
    }
    int fd = mkostemp(temporary, O_CLOEXEC), result = 0;
    if (fd < 0 || !write_text(fd, text) || rename(temporary, path) < 0) {
        result = error_set_errno(ret_error, errno, "%s", path);
        if (fd >= 0)
            unlink(temporary);
    }
    if (fd >= 0)
        close(fd);
    free(temporary);
    free(text);
    return result;
}

void attest_bundle_validity(const struct attest_bundle *bundle, int64_t *ret_from, int64_t *ret_until)
{
    *ret_from = INT64_MIN;
    *ret_until = INT64_MAX;
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT; kind++) {
        const struct attest_document *document = &bundle->documents[kind];
        if (!document->data)
            continue;
        if (document->issued > *ret_from)
            *ret_from = document->issued;
        if (document->next_update < *ret_until)
            *ret_until = document->next_update;
    }
}
