/* What happens in a world is chosen by bytes, a seed's (hostile.h) or a fuzzer's. Past their end they are all zeros. */
#ifndef COFRE_TESTS_INPUT_H
#define COFRE_TESTS_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *at;
    size_t left;
};

/* So many bytes, 8 at most, the lowest one first. */
static inline uint64_t input_number(struct input *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && in->left > 0; i++, in->left--)
        value |= (uint64_t)*in->at++ << 8 * i;
    return value;
}

/* A number below limit, of as few bytes as that takes. */
static inline uint32_t input_choose(struct input *in, uint32_t limit)
{
    uint32_t value = 0;
    for (uint32_t span = limit - 1; span > 0; span >>= 8)
        value = value << 8 | (uint32_t)input_number(in, 1);
    return value % limit;
}

/* What a liar writes: at the edges of 32 bits, of 1 << n, of size; small, or anything. */
static inline uint32_t input_word(struct input *in, uint32_t size)
{
    switch (input_choose(in, 6)) {
    case 0:
        return UINT32_MAX - input_choose(in, 3);
    case 1:
        return 1U << input_choose(in, 32);
    case 2:
        return size + input_choose(in, 3) - 1;
    case 3: {
        uint32_t high = input_choose(in, 65536);
        return high << 16 | input_choose(in, 65536);
    }
    default:
        return input_choose(in, 130);
    }
}

/* input_choose() where nothing but a seed is given. */
static inline uint32_t random_choose(uint64_t *state, uint32_t limit)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(((*state >> 33) * limit) >> 31);
}

#endif
