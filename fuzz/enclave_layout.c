/*
 * The kernel's ELF file and the policy as the loader takes them: the first two bytes say where one ends.
 * fuzz-sources: image/measure.c image/enclave_layout.c image/error.c
 * fuzz-flags: -lcrypto
 */
#include <stdlib.h>
#include <string.h>

#include "image/enclave_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visit(void *arg, uint64_t address, const void *data, uint64_t page_count, uint64_t flags, int measure)
{
    uint64_t *total = arg;
    (void)address, (void)flags, (void)measure;
    if (data)
        for (uint64_t i = 0; i < page_count * 4096; i += 512)
            *total += ((const uint8_t *)data)[i];
    return (*total += page_count) > 1UL << 40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t split = (size_t)(data[0] | data[1] << 8);
    if (split > size - 2)
        split = size - 2;
    void *kernel = malloc(split + 1), *policy = malloc(size - 2 - split + 1);
    if (kernel && policy) {
        memcpy(kernel, data + 2, split);
        memcpy(policy, data + 2 + split, size - 2 - split);
        struct enclave_parts parts = {
            .kernel = kernel, .kernel_size = split, .policy = policy, .policy_size = size - 2 - split};
        char *error = NULL;
        uint64_t total = 0;
        enclave_layout_for_each(&parts, visit, &total, &error);
        free(error);
    }
    free(kernel);
    free(policy);
    return 0;
}
