/*
 * What a MarbleRun coordinator answers (contract in marble.h): HTTP/1.1 as Go's server sends it for a short answer,
 * with its length, and in it {"status": "success", "data": {"value": N}}.
 */
#include <linux/errno.h>

#define JSMN_STATIC
#define JSMN_STRICT
#include <jsmn.h>

#include "kernel/lib/string.h"
#include "kernel/volume/marble.h"

#define TOKENS 32

struct line {
    const char *at;
    size_t size;
};

/* ---- HTTP ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits only, none in vain. */
static bool parse_number(const char *text, size_t size, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (size == 0 || size > 20 || (size > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* text is lower case */
static bool same_word(const char *at, size_t size, const char *text)
{
    for (size_t i = 0; i < size; i++)
        if (lower(at[i]) != text[i]) /* also at the end of text */
            return false;
    return text[size] == 0;
}

/* The next line of the head, without its end. 0; -EAGAIN: it has no end yet; -EPROTO */
static int next_line(const char *text, size_t size, size_t *at, struct line *ret_line)
{
    size_t i = *at;
    while (i < size && ((unsigned char)text[i] >= ' ' || text[i] == '\t') && text[i] != 0x7f)
        i++;
    if (i + 1 >= size)
        return i < size && text[i] != '\r' ? -EPROTO : -EAGAIN;
    if (text[i] != '\r' || text[i + 1] != '\n')
        return -EPROTO;
    *ret_line = (struct line){text + *at, i - *at};
    *at = i + 2;
    return 0;
}

/* HTTP/1.1 200 OK */
static int parse_status(struct line line, unsigned *ret_status)
{
    static const char version[] = "HTTP/1.1 ";
    size_t begin = sizeof(version) - 1;
    uint64_t status;
    if (line.size < begin + 3 || memcmp(line.at, version, begin) != 0 || !parse_number(line.at + begin, 3, &status) ||
        status < 200 || status > 599 || (line.size > begin + 3 && line.at[begin + 3] != ' '))
        return -EPROTO;
    *ret_status = (unsigned)status;
    return 0;
}

struct head {
    bool has_length;
    uint64_t length;
};

static bool is_name(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_digit(at[i]) && !(lower(at[i]) >= 'a' && lower(at[i]) <= 'z') && at[i] != '-' && at[i] != '_')
            return false;
    return size > 0;
}

static int parse_header(struct line line, struct head *head, struct marble_answer *answer)
{
    const char *colon = line.at;
    const char *end = line.at + line.size;
    while (colon < end && *colon != ':')
        colon++;
    size_t name_size = (size_t)(colon - line.at);
    if (colon == end || !is_name(line.at, name_size))
        return -EPROTO;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t size = (size_t)(end - value);
    if (same_word(line.at, name_size, "transfer-encoding"))
        return -EPROTO; /* never for so short an answer */
    if (same_word(line.at, name_size, "connection"))
        answer->last = answer->last || !same_word(value, size, "keep-alive");
    if (same_word(line.at, name_size, "content-length")) {
        if (head->has_length || !parse_number(value, size, &head->length))
            return -EPROTO;
        head->has_length = true;
    }
    return 0;
}

/* ---- JSON ---- */

/* The token after all that is in token i. */
static int after(const jsmntok_t *tokens, int count, int i)
{
    int next = i + 1;
    while (next < count && tokens[next].start < tokens[i].end)
        next++;
    return next;
}

static bool is_text(const char *json, const jsmntok_t *token, const char *text)
{
    size_t size = (size_t)(token->end - token->start);
    return token->type == JSMN_STRING && strlen(text) == size && memcmp(json + token->start, text, size) == 0;
}

/* The value of a member that an object has once; -1 */
static int member(const char *json, const jsmntok_t *tokens, int count, int object, const char *name)
{
    int found = -1;
    int end = after(tokens, count, object);
    if (tokens[object].type != JSMN_OBJECT)
        return -1;
    for (int key = object + 1; key < end; key = after(tokens, count, key + 1)) {
        if (tokens[key].type != JSMN_STRING || tokens[key].size != 1 || key + 1 >= end)
            return -1;
        if (!is_text(json, &tokens[key], name))
            continue;
        if (found >= 0)
            return -1;
        found = key + 1;
    }
    return found;
}

static int parse_body(const char *json, size_t size, uint64_t *ret_value)
{
    jsmntok_t tokens[TOKENS];
    jsmn_parser parser;
    jsmn_init(&parser);
    int count = jsmn_parse(&parser, json, size, tokens, TOKENS);
    if (count < 1 || after(tokens, count, 0) != count)
        return -EPROTO;
    int status = member(json, tokens, count, 0, "status"), data = member(json, tokens, count, 0, "data");
    if (status < 0 || data < 0 || !is_text(json, &tokens[status], "success"))
        return -EPROTO;
    int value = member(json, tokens, count, data, "value");
    if (value < 0 || tokens[value].type != JSMN_PRIMITIVE ||
        !parse_number(json + tokens[value].start, (size_t)(tokens[value].end - tokens[value].start), ret_value))
        return -EPROTO;
    return 0;
}

/* ---- both ---- */

int marble_answer_parse(const char *text, size_t size, struct marble_answer *ret_answer)
{
    struct marble_answer answer = {0};
    struct head head = {0};
    struct line line;
    size_t at = 0;
    int error = next_line(text, size, &at, &line);
    if (error == 0)
        error = parse_status(line, &answer.status);
    while (error == 0 && (error = next_line(text, size, &at, &line)) == 0 && line.size > 0)
        error = parse_header(line, &head, &answer);
    if (error == -EAGAIN && size >= MARBLE_ANSWER_MAX)
        return -EPROTO;
    if (error < 0)
        return error;
    if (!head.has_length || head.length > MARBLE_ANSWER_MAX - at || size - at > head.length)
        return -EPROTO;
    if (size - at < head.length)
        return -EAGAIN;
    if (answer.status == 200)
        error = parse_body(text + at, (size_t)head.length, &answer.value);
    if (error == 0)
        *ret_answer = answer;
    return error;
}
