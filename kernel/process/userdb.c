/* /etc/passwd and /etc/group. They come from the image, which is measured, but are parsed as anything else is. */
#include "kernel/process/userdb.h"

#include <asm-generic/errno.h>

#include "kernel/lib/string.h"

#define FIELD_COUNT_MAX 7
#define NAME_MAX_ 64

struct field {
    const char *text;
    size_t size;
};

/* Split one line at colons; returns the number of fields. */
static size_t split(const char *line, const char *end, struct field fields[FIELD_COUNT_MAX])
{
    size_t count = 0;
    while (count < FIELD_COUNT_MAX) {
        const char *colon = memchr(line, ':', (size_t)(end - line));
        fields[count++] = (struct field){line, (size_t)((colon ? colon : end) - line)};
        if (!colon)
            break;
        line = colon + 1;
    }
    return count;
}

static bool field_is(const struct field *field, const char *text)
{
    return field->size == strlen(text) && memcmp(field->text, text, field->size) == 0;
}

static bool field_number(const struct field *field, uint32_t *ret_value)
{
    char digits[16];
    uint64_t value;
    if (field->size == 0 || field->size >= sizeof digits)
        return false;
    memcpy(digits, field->text, field->size);
    digits[field->size] = '\0';
    if (!string_to_u64(digits, UINT32_MAX - 1, &value))
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

/* The next line of *text, without its end; false at the end of the text. */
static bool next_line(const char **text, const char **ret_line, const char **ret_end)
{
    if (**text == '\0')
        return false;
    const char *end = strchr(*text, '\n');
    *ret_line = *text;
    *ret_end = end ? end : *text + strlen(*text);
    *text = end ? end + 1 : *ret_end;
    return true;
}

/* By name, or if name is NULL by uid. */
static bool passwd_find(const char *passwd, const char *name, uint32_t uid, struct user_entry *ret,
                        char ret_name[NAME_MAX_])
{
    const char *line, *end;
    while (next_line(&passwd, &line, &end)) {
        struct field f[FIELD_COUNT_MAX];
        uint32_t entry_uid, entry_gid;
        if (split(line, end, f) < 6 || !field_number(&f[2], &entry_uid) || !field_number(&f[3], &entry_gid))
            continue;
        if (name ? !field_is(&f[0], name) : entry_uid != uid)
            continue;
        ret->uid = entry_uid;
        ret->gid = entry_gid;
        size_t size = MIN(f[5].size, sizeof ret->home - 1);
        memcpy(ret->home, f[5].text, size);
        ret->home[size] = '\0';
        size = MIN(f[0].size, (size_t)NAME_MAX_ - 1);
        memcpy(ret_name, f[0].text, size);
        ret_name[size] = '\0';
        return true;
    }
    return false;
}

static bool group_find(const char *group, const char *name, uint32_t *ret_gid)
{
    const char *line, *end;
    while (next_line(&group, &line, &end)) {
        struct field f[FIELD_COUNT_MAX];
        if (split(line, end, f) >= 3 && field_is(&f[0], name) && field_number(&f[2], ret_gid))
            return true;
    }
    return false;
}

static bool is_member(const struct field *members, const char *name)
{
    const char *p = members->text, *end = p + members->size;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        struct field one = {p, (size_t)((comma ? comma : end) - p)};
        if (field_is(&one, name))
            return true;
        p = comma ? comma + 1 : end;
    }
    return false;
}

static void groups_of(const char *group, const char *name, struct user_entry *ret)
{
    const char *line, *end;
    while (next_line(&group, &line, &end) && ret->group_count < ARRAY_COUNT(ret->groups)) {
        struct field f[FIELD_COUNT_MAX];
        uint32_t gid;
        if (split(line, end, f) >= 4 && field_number(&f[2], &gid) && gid != ret->gid && is_member(&f[3], name))
            ret->groups[ret->group_count++] = gid;
    }
}

int user_resolve(const char *spec, const char *passwd, const char *group, struct user_entry *ret)
{
    char user[NAME_MAX_], name[NAME_MAX_] = "";
    const char *colon = strchr(spec, ':');
    size_t size = colon ? (size_t)(colon - spec) : strlen(spec);
    uint64_t number;
    memset(ret, 0, sizeof *ret);
    string_copy(ret->home, "/", sizeof ret->home);
    if (size >= sizeof user)
        return -ENOENT;
    memcpy(user, spec, size);
    user[size] = '\0';

    if (user[0] == '\0' || string_to_u64(user, UINT32_MAX - 1, &number)) {
        uint32_t uid = user[0] ? (uint32_t)number : 0;
        if (!passwd_find(passwd, NULL, uid, ret, name))
            ret->uid = uid;
    } else if (!passwd_find(passwd, user, 0, ret, name)) {
        return -ENOENT;
    }
    if (colon && colon[1]) {
        if (string_to_u64(colon + 1, UINT32_MAX - 1, &number))
            ret->gid = (uint32_t)number;
        else if (!group_find(group, colon + 1, &ret->gid))
            return -ENOENT;
    } else if (name[0]) {
        groups_of(group, name, ret);
    }
    return 0;
}
