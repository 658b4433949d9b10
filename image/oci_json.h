/* Typed access to hostile JSON. */
#ifndef COFRE_IMAGE_OCI_JSON_H
#define COFRE_IMAGE_OCI_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "image/policy.h"

#define OCI_JSON_SIZE_MAX (4U << 20)

/* Parses an object or array; duplicate keys are refused. NULL with *ret_error. */
json_t *oci_json_parse(const char *text, size_t size, const char *what, char **ret_error);

/* All of these take an absent key or null as "not there" and leave *ret alone then; a wrong type is an error. */
int oci_json_string(const json_t *object, const char *key, const char **ret_text, char **ret_error);
int oci_json_object(const json_t *object, const char *key, json_t **ret_object, char **ret_error);
int oci_json_array(const json_t *object, const char *key, json_t **ret_array, char **ret_error);
int oci_json_strings(const json_t *object, const char *key, struct string_list *list, char **ret_error);
int oci_json_keys(const json_t *object, const char *key, struct string_list *list, char **ret_error);

#endif
