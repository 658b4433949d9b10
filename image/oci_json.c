/* Typed access to hostile JSON. */
#include "image/oci_json.h"

#include <err.h>

#include "image/error.h"

json_t *oci_json_parse(const char *text, size_t size, const char *what, char **ret_error)
{
    json_error_t reason;

    if (size > OCI_JSON_SIZE_MAX) {
        error_set(ret_error, "%s is larger than %u bytes", what, OCI_JSON_SIZE_MAX);
        return NULL;
    }
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &reason);
    if (!json)
        error_set(ret_error, "%s is not good JSON: line %d: %s", what, reason.line, reason.text);
    return json;
}

/* The value of a key if it is there and not null. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

int oci_json_string(const json_t *object, const char *key, const char **ret_text, char **ret_error)
{
    const json_t *value = member(object, key);

    if (value && !json_is_string(value))
        return error_set(ret_error, "\"%s\" is not a string", key);
    if (value)
        *ret_text = json_string_value(value);
    return 0;
}

int oci_json_object(const json_t *object, const char *key, json_t **ret_object, char **ret_error)
{
    json_t *value = member(object, key);

    if (value && !json_is_object(value))
        return error_set(ret_error, "\"%s\" is not an object", key);
    if (value)
        *ret_object = value;
    return 0;
}

int oci_json_array(const json_t *object, const char *key, json_t **ret_array, char **ret_error)
{
    json_t *value = member(object, key);

    if (value && !json_is_array(value))
        return error_set(ret_error, "\"%s\" is not a list", key);
    if (value)
        *ret_array = value;
    return 0;
}

int oci_json_strings(const json_t *object, const char *key, struct string_list *list, char **ret_error)
{
    json_t *array = NULL, *item;
    size_t i;

    if (oci_json_array(object, key, &array, ret_error) < 0)
        return -1;
    json_array_foreach(array, i, item)
    {
        if (!json_is_string(item))
            return error_set(ret_error, "\"%s\" is not a list of strings", key);
        if (string_list_add(list, json_string_value(item)) < 0)
            err(1, "image configuration");
    }
    return 0;
}

int oci_json_keys(const json_t *object, const char *key, struct string_list *list, char **ret_error)
{
    json_t *map = NULL, *value;
    const char *name;

    if (oci_json_object(object, key, &map, ret_error) < 0)
        return -1;
    json_object_foreach(map, name, value)
    {
        if (string_list_add(list, name) < 0)
            err(1, "image configuration");
    }
    return 0;
}
