/* Signed JSON. The outer object is scanned for where the inner one begins and ends; jansson reads what is between. */
#include "attest/signed_json.h"

#include <stdbool.h>
#include <string.h>

#include "attest/date.h"
#include "attest/encode.h"
#include "image/error.h"

struct scanner {
    const char *data, *end;
};

static void skip_space(struct scanner *s)
{
    while (s->data < s->end && (*s->data == ' ' || *s->data == '\t' || *s->data == '\n' || *s->data == '\r'))
        s->data++;
}

static bool skip_char(struct scanner *s, char c)
{
    skip_space(s);
    if (s->data == s->end || *s->data != c)
        return false;
    s->data++;
    skip_space(s);
    return true;
}

/* A string without escapes, which the names and the signature of the outer object never have. */
static bool skip_string(struct scanner *s, const char **ret_text, size_t *ret_size)
{
    if (s->data == s->end || *s->data != '"')
        return false;
    const char *text = ++s->data;
    while (s->data < s->end && *s->data != '"' && *s->data != '\\' && (unsigned char)*s->data >= 0x20)
        s->data++;
    if (s->data == s->end || *s->data != '"')
        return false;
    *ret_text = text;
    *ret_size = (size_t)(s->data++ - text);
    return true;
}

/* From one brace to the one that closes it, strings passed over. What is between is jansson's to judge. */
static bool skip_object(struct scanner *s, const char **ret_text, size_t *ret_size)
{
    const char *text = s->data;
    size_t depth = 0;
    bool in_string = false;
    if (s->data == s->end || *s->data != '{')
        return false;
    for (; s->data < s->end; s->data++) {
        char c = *s->data;
        if (in_string && c == '\\' && s->data + 1 < s->end)
            s->data++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && c == '{')
            depth++;
        else if (!in_string && c == '}' && --depth == 0) {
            *ret_size = (size_t)(++s->data - text);
            *ret_text = text;
            return true;
        }
    }
    return false;
}

static bool is_name(const char *text, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(text, name, size) == 0;
}

static int read_signature(const char *text, size_t size, uint8_t ret_signature[64], char **ret_error)
{
    char digits[129] = "";
    if (size == 128)
        memcpy(digits, text, 128);
    if (attest_hex_decode(digits, ret_signature, 64) < 0)
        return error_set(ret_error, "signature: it is not 128 hex digits");
    return 0;
}

/* One member of the outer object. */
static int take_member(struct scanner *s, const char *name, struct signed_json *document, bool *has_signature,
                       char **ret_error)
{
    const char *text, *value;
    size_t size, value_size;
    if (!skip_string(s, &text, &size) || !skip_char(s, ':'))
        return error_set(ret_error, "it is not a JSON object of \"%s\" and \"signature\"", name);
    if (is_name(text, size, name)) {
        if (document->body)
            return error_set(ret_error, "\"%s\" stands twice", name);
        if (!skip_object(s, &document->body, &document->body_size))
            return error_set(ret_error, "\"%s\" is not a whole object", name);
        return 0;
    }
    if (!is_name(text, size, "signature"))
        return error_set(ret_error, "it has a member besides \"%s\" and \"signature\"", name);
    if (*has_signature)
        return error_set(ret_error, "\"signature\" stands twice");
    *has_signature = true;
    if (!skip_string(s, &value, &value_size))
        return error_set(ret_error, "signature: it is no plain string");
    return read_signature(value, value_size, document->signature, ret_error);
}

static int scan(struct scanner *s, const char *name, struct signed_json *document, char **ret_error)
{
    bool has_signature = false;
    if (!skip_char(s, '{'))
        return error_set(ret_error, "it is not a JSON object");
    do {
        if (take_member(s, name, document, &has_signature, ret_error) < 0)
            return -1;
    } while (skip_char(s, ','));
    if (!skip_char(s, '}') || s->data != s->end)
        return error_set(ret_error, "it is not one JSON object, or something follows it");
    if (!document->body || !has_signature)
        return error_set(ret_error, "\"%s\" is missing", document->body ? "signature" : name);
    return 0;
}

int signed_json_open(const void *text, size_t size, const char *name, struct signed_json *ret_document,
                     char **ret_error)
{
    struct signed_json document = {0};
    struct scanner s = {text, (const char *)text + size};
    json_error_t detail;
    if (size > SIGNED_JSON_SIZE_MAX)
        return error_set(ret_error, "%zu bytes are too many", size);
    if (size && s.end[-1] == 0)
        s.end--;
    if (scan(&s, name, &document, ret_error) < 0)
        return -1;
    document.object = json_loadb(document.body, document.body_size, JSON_REJECT_DUPLICATES, &detail);
    if (!document.object)
        return error_set(ret_error, "it is not JSON: %s", detail.text);
    *ret_document = document;
    return 0;
}

int json_get_number(const json_t *object, const char *name, uint64_t max, uint64_t *ret_number, char **ret_error)
{
    const json_t *member = json_object_get(object, name);
    if (!json_is_integer(member))
        return error_set(ret_error, member ? "%s: it is no whole number" : "%s is missing", name);
    json_int_t number = json_integer_value(member);
    if (number < 0 || (uint64_t)number > max)
        return error_set(ret_error, "%s: %" JSON_INTEGER_FORMAT " is out of range", name, number);
    *ret_number = (uint64_t)number;
    return 0;
}

int json_get_string(const json_t *object, const char *name, const char **ret_text, char **ret_error)
{
    const json_t *member = json_object_get(object, name);
    if (!json_is_string(member))
        return error_set(ret_error, member ? "%s: it is no string" : "%s is missing", name);
    *ret_text = json_string_value(member);
    return 0;
}

int json_get_hex(const json_t *object, const char *name, void *ret_data, size_t size, char **ret_error)
{
    const char *text;
    if (json_get_string(object, name, &text, ret_error) < 0)
        return -1;
    if (attest_hex_decode(text, ret_data, size) < 0)
        return error_set(ret_error, "%s: it is not %zu hex digits", name, 2 * size);
    return 0;
}

int json_get_date(const json_t *object, const char *name, int64_t *ret_seconds, char **ret_error)
{
    const char *text;
    if (json_get_string(object, name, &text, ret_error) < 0)
        return -1;
    if (!attest_date_parse(text, ret_seconds))
        return error_set(ret_error, "%s: it is not a date as YYYY-MM-DDTHH:MM:SSZ", name);
    return 0;
}

int json_get_array(const json_t *object, const char *name, size_t max, json_t **ret_array, char **ret_error)
{
    json_t *member = json_object_get(object, name);
    if (!json_is_array(member))
        return error_set(ret_error, member ? "%s: it is no array" : "%s is missing", name);
    if (json_array_size(member) == 0 || json_array_size(member) > max)
        return error_set(ret_error, "%s: it has %zu members, not 1 to %zu", name, json_array_size(member), max);
    *ret_array = member;
    return 0;
}

int json_get_object(const json_t *object, const char *name, json_t **ret_object, char **ret_error)
{
    json_t *member = json_object_get(object, name);
    if (!json_is_object(member))
        return error_set(ret_error, member ? "%s: it is no object" : "%s is missing", name);
    *ret_object = member;
    return 0;
}

int json_get_validity(const json_t *object, struct attest_validity *ret_validity, char **ret_error)
{
    if (json_get_date(object, "issueDate", &ret_validity->from, ret_error) < 0 ||
        json_get_date(object, "nextUpdate", &ret_validity->until, ret_error) < 0)
        return -1;
    return 0;
}

static int read_advisories(const json_t *level, struct attest_advisories *advisories, char **ret_error)
{
    const json_t *ids = json_object_get(level, "advisoryIDs"), *id;
    size_t i;
    if (!ids)
        return 0;
    if (!json_is_array(ids) || json_array_size(ids) > LEVEL_ADVISORY_COUNT_MAX)
        return error_set(ret_error, "advisoryIDs: it is no array of at most %d", LEVEL_ADVISORY_COUNT_MAX);
    json_array_foreach(ids, i, id)
    {
        const char *text = json_string_value(id);
        if (!text || !*text || strlen(text) >= ATTEST_ADVISORY_SIZE_MAX)
            return error_set(ret_error, "advisoryIDs: member %zu is no short string", i);
        attest_advisories_add(advisories, text);
    }
    return 0;
}

int json_get_level(const json_t *level, struct attest_tcb *ret_tcb, char **ret_error)
{
    const char *status;
    ret_tcb->date = 0;
    ret_tcb->advisories.count = 0;
    if (json_get_string(level, "tcbStatus", &status, ret_error) < 0 ||
        (json_object_get(level, "tcbDate") && json_get_date(level, "tcbDate", &ret_tcb->date, ret_error) < 0))
        return -1;
    ret_tcb->status = attest_tcb_status_parse(status);
    return read_advisories(level, &ret_tcb->advisories, ret_error);
}
