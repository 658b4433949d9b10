/* What a key server decides (contract in key_service.h). */
#include "attest/key_service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attest/key_request.h"
#include "attest/policy.h"
#include "image/error.h"
#include "image/key_wrap.h"

_Static_assert(KEY_WRAP_KEY_MAX == KEY_SIZE_MAX, "image/key_wrap.h");
_Static_assert(KEY_QUOTE_SIZE_MAX <= ATTEST_QUOTE_SIZE_MAX, "any of them can be verified");

/* Fills the reason; what quotes and certificates brought into it is made to print. */
static void say(struct attest_key_event *event, enum key_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(event->reason, sizeof(event->reason), format, args);
    va_end(args);
    event->status = status;
    for (char *p = event->reason; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

static void describe(const struct attest_result *result, struct attest_key_event *event)
{
    size_t used = 0;
    event->simulation = result->has_root && result->simulation;
    if (!result->has_quote || result->body_type != ATTEST_BODY_SGX)
        return;
    used += (size_t)snprintf(event->enclave, sizeof(event->enclave), "mrenclave ");
    for (size_t i = 0; i < 32; i++)
        used +=
            (size_t)snprintf(event->enclave + used, sizeof(event->enclave) - used, "%02x", result->sgx.mrenclave[i]);
    used += (size_t)snprintf(event->enclave + used, sizeof(event->enclave) - used, " mrsigner ");
    for (size_t i = 0; i < 32; i++)
        used += (size_t)snprintf(event->enclave + used, sizeof(event->enclave) - used, "%02x", result->sgx.mrsigner[i]);
}

static bool path_of(const struct attest_key_service *service, const char *name, const char *suffix, char **ret_path)
{
    return asprintf(ret_path, "%s/%s.%s", service->folder, name, suffix) >= 0;
}

static struct attest_policy *load_policy(const struct attest_key_service *service, const char *name, char **ret_error)
{
    char *path;
    if (!path_of(service, name, "yaml", &path)) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    struct attest_policy *policy = attest_policy_load(path, ret_error);
    free(path);
    return policy;
}

/* Is the evidence accepted? The event has the reason if it is not. */
static bool is_welcome(const struct attest_key_service *service, const struct attest_key_request *request,
                       const uint8_t report_data[64], const struct attest_result *result,
                       struct attest_appraisal *appraisal, struct attest_key_event *event)
{
    char *error = NULL;
    if (result->outcome == ATTEST_OUTCOME_INCOMPLETE) {
        say(event, KEY_FAILED, "the quote cannot be verified here: %s", result->reason);
        return false;
    }
    struct attest_policy *policy = load_policy(service, request->name, &error);
    if (!policy) {
        say(event, KEY_DENIED, "no policy says who gets it: %s", error ? error : "out of memory");
        free(error);
        return false;
    }
    const struct attest_binding binding = {report_data, 64};
    bool accepted = attest_policy_evaluate(policy, result, &binding, appraisal) == 0;
    attest_policy_free(policy);
    if (!accepted)
        say(event, KEY_DENIED, "%s: %s", appraisal->violations[0].rule, appraisal->violations[0].reason);
    return accepted;
}

/* The bytes of a small file: 0, 1 if there is none. Without the buffers of stdio, which would keep them. */
static int read_small(const char *path, uint8_t *ret_bytes, size_t max, size_t *ret_size, char **ret_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, ret_bytes, max) : -1;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (fd < 0 && saved == ENOENT)
        return 1;
    *ret_size = size > 0 ? (size_t)size : 0;
    return size < 0 ? error_set_errno(ret_error, saved, "%s", path) : 0;
}

/* From NAME.key; else from NAME.wrapped. */
static int read_key(const struct attest_key_service *service, const char *name, uint8_t ret_key[KEY_SIZE_MAX],
                    size_t *ret_size, char **ret_error)
{
    uint8_t bytes[KEY_SIZE_MAX + KEY_WRAP_OVERHEAD + 1];
    char *plain, *wrapped;
    size_t size = 0;
    if (!path_of(service, name, "key", &plain))
        return error_set(ret_error, "out of memory");
    if (!path_of(service, name, "wrapped", &wrapped)) {
        free(plain);
        return error_set(ret_error, "out of memory");
    }
    int result = read_small(plain, bytes, sizeof(bytes), &size, ret_error);
    if (result == 0 && (size == 0 || size > KEY_SIZE_MAX)) {
        result = error_set(ret_error, "%s: a key has 1 to %d bytes", plain, KEY_SIZE_MAX);
    } else if (result == 0) {
        memcpy(ret_key, bytes, size);
        *ret_size = size;
    } else if (result > 0) {
        result = read_small(wrapped, bytes, sizeof(bytes), &size, ret_error);
        if (result > 0)
            result = error_set(ret_error, "there is neither %s nor %s", plain, wrapped);
        else if (result == 0 && key_unwrap(service->own, name, bytes, size, ret_key, ret_size, ret_error) < 0)
            result = error_wrap(ret_error, "%s", wrapped);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    free(plain);
    free(wrapped);
    return result;
}

static void grant(const struct attest_key_service *service, const char *name, struct key_answer *ret_answer,
                  struct attest_key_event *event)
{
    char *error = NULL;
    size_t size = 0;
    *ret_answer = (struct key_answer){.status = KEY_GRANTED};
    if (read_key(service, name, ret_answer->key, &size, &error) < 0)
        say(event, KEY_FAILED, "its key cannot be read: %s", error ? error : "out of memory");
    ret_answer->key_size = (uint32_t)size;
    free(error);
}

struct judgement { /* too large for a stack */
    struct attest_result result;
    struct attest_appraisal appraisal;
};

void attest_key_answer(const struct attest_key_service *service, const uint8_t channel_hash[32], const uint8_t *request,
                       size_t size, struct key_answer *ret_answer, struct attest_key_event *ret_event)
{
    struct attest_key_request parsed;
    const char *reason;
    uint8_t report_data[64];
    *ret_event = (struct attest_key_event){.status = KEY_GRANTED};
    struct judgement *j = calloc(1, sizeof(*j));
    if (!j) {
        say(ret_event, KEY_FAILED, "out of memory");
    } else if (attest_key_request_parse(request, size, &parsed, &reason) < 0) {
        say(ret_event, KEY_DENIED, "%s", reason);
    } else {
        memcpy(ret_event->name, parsed.name, sizeof(ret_event->name));
        attest_key_report_data(channel_hash, parsed.name, report_data);
        attest_store_verify(service->store, parsed.quote, parsed.quote_size, service->time ? service->time : time(NULL),
                            &j->result, NULL);
        describe(&j->result, ret_event);
        if (is_welcome(service, &parsed, report_data, &j->result, &j->appraisal, ret_event))
            grant(service, parsed.name, ret_answer, ret_event);
    }
    free(j);
    if (ret_event->status != KEY_GRANTED)
        *ret_answer = (struct key_answer){.status = ret_event->status};
}

int attest_key_service_check(const struct attest_key_service *service, char **ret_error)
{
    DIR *folder = opendir(service->folder);
    const struct dirent *entry;
    int count = 0;
    if (!folder)
        return error_set_errno(ret_error, errno, "%s", service->folder);
    while (count >= 0 && (entry = readdir(folder)) != NULL) {
        char name[KEY_NAME_SIZE] = "";
        const char *dot = strrchr(entry->d_name, '.');
        size_t size = dot ? (size_t)(dot - entry->d_name) : 0;
        if (size == 0 || size >= sizeof(name) || strcmp(dot, ".yaml") != 0)
            continue;
        memcpy(name, entry->d_name, size);
        struct attest_policy *policy = attest_key_name_ok(name) ? load_policy(service, name, ret_error) : NULL;
        if (policy)
            count++;
        else if (attest_key_name_ok(name))
            count = -1;
        attest_policy_free(policy);
    }
    closedir(folder);
    return count;
}
