/* vsnprintf: %s %c %d %i %u %x %X %o %p %% with l, ll, z, j, t, h, hh, widths, precision, '-', '0', '#', '+', ' '. */
#include "kernel/lib/string.h"

#if !defined(COFRE_HOSTED) || defined(vsnprintf) /* renamed for its unit test */

struct sink {
    char *buf;
    size_t size, length;
};

struct spec {
    bool left, zero, alternate, plus, space, upper;
    int width, precision; /* precision < 0: none */
};

static void put(struct sink *out, char c)
{
    if (out->length + 1 < out->size)
        out->buf[out->length] = c;
    out->length++;
}

static void pad(struct sink *out, char c, int count)
{
    while (count-- > 0)
        put(out, c);
}

static void put_text(struct sink *out, const struct spec *spec, const char *text, size_t size)
{
    int fill = spec->width - (int)size;
    if (!spec->left)
        pad(out, ' ', fill);
    for (size_t i = 0; i < size; i++)
        put(out, text[i]);
    if (spec->left)
        pad(out, ' ', fill);
}

static void put_number(struct sink *out, const struct spec *spec, uint64_t value, unsigned base, bool negative,
                       bool is_signed)
{
    char digits[24], prefix[3];
    int count = 0, prefix_size = 0;
    const char *alphabet = spec->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    uint64_t rest = value;

    for (; rest; rest /= base)
        digits[count++] = alphabet[rest % base];
    if (count == 0 && spec->precision != 0)
        digits[count++] = '0';
    if (negative)
        prefix[prefix_size++] = '-';
    else if (is_signed && spec->plus)
        prefix[prefix_size++] = '+';
    else if (is_signed && spec->space)
        prefix[prefix_size++] = ' ';
    if (spec->alternate && base == 16 && value) {
        prefix[prefix_size++] = '0';
        prefix[prefix_size++] = spec->upper ? 'X' : 'x';
    } else if (spec->alternate && base == 8 && value) {
        prefix[prefix_size++] = '0';
    }

    int zeros = MAX(spec->precision - count, 0);
    if (spec->zero && !spec->left && spec->precision < 0)
        zeros = MAX(spec->width - count - prefix_size, 0);
    int fill = spec->width - prefix_size - zeros - count;
    if (!spec->left)
        pad(out, ' ', fill);
    for (int i = 0; i < prefix_size; i++)
        put(out, prefix[i]);
    pad(out, '0', zeros);
    while (count--)
        put(out, digits[count]);
    if (spec->left)
        pad(out, ' ', fill);
}

static const char *parse_flags(struct spec *spec, const char *f)
{
    for (;; f++) {
        if (*f == '-')
            spec->left = true;
        else if (*f == '0')
            spec->zero = true;
        else if (*f == '#')
            spec->alternate = true;
        else if (*f == '+')
            spec->plus = true;
        else if (*f == ' ')
            spec->space = true;
        else
            return f;
    }
}

int vsnprintf(char *restrict buf, size_t size, const char *restrict format, va_list arguments)
{
    struct sink out = {buf, size, 0};
    va_list args;
    va_copy(args, arguments);

    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&out, *f);
            continue;
        }
        struct spec spec = {.precision = -1};
        f = parse_flags(&spec, f + 1);
        if (*f == '*') {
            spec.width = va_arg(args, int);
            if (spec.width < 0) {
                spec.left = true;
                spec.width = -spec.width;
            }
            f++;
        } else {
            for (; *f >= '0' && *f <= '9'; f++)
                spec.width = spec.width * 10 + (*f - '0');
        }
        if (*f == '.') {
            spec.precision = 0;
            if (*++f == '*') {
                spec.precision = va_arg(args, int);
                f++;
            } else {
                for (; *f >= '0' && *f <= '9'; f++)
                    spec.precision = spec.precision * 10 + (*f - '0');
            }
        }
        int length = 4; /* bytes of the argument */
        for (;; f++) {
            if (*f == 'l' || *f == 'z' || *f == 'j' || *f == 't')
                length = 8;
            else if (*f == 'h')
                length /= 2;
            else
                break;
        }
        switch (*f) {
        case '%':
            put(&out, '%');
            break;
        case 'c': {
            char c = (char)va_arg(args, int);
            put_text(&out, &spec, &c, 1);
            break;
        }
        case 's': {
            const char *s = va_arg(args, const char *);
            if (!s)
                s = "(null)";
            put_text(&out, &spec, s, spec.precision < 0 ? strlen(s) : strnlen(s, (size_t)spec.precision));
            break;
        }
        case 'd':
        case 'i': {
            int64_t v = length == 8 ? va_arg(args, int64_t) : va_arg(args, int);
            if (length == 2)
                v = (int16_t)v;
            else if (length == 1)
                v = (int8_t)v;
            put_number(&out, &spec, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, true);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
        case 'o': {
            uint64_t v = length == 8 ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            if (length == 2)
                v = (uint16_t)v;
            else if (length == 1)
                v = (uint8_t)v;
            spec.upper = *f == 'X';
            put_number(&out, &spec, v, *f == 'u' ? 10 : *f == 'o' ? 8 : 16, false, false);
            break;
        }
        case 'p':
            spec.alternate = true;
            put_number(&out, &spec, (uint64_t)va_arg(args, void *), 16, false, false);
            break;
        default: /* our own bug: show it */
            put(&out, '%');
            if (!*f) {
                f--;
                break;
            }
            put(&out, *f);
        }
    }
    va_end(args);
    if (size)
        buf[MIN(out.length, size - 1)] = '\0';
    return (int)out.length;
}

int snprintf(char *restrict buf, size_t size, const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(buf, size, format, args);
    va_end(args);
    return length;
}
#endif
