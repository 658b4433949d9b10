/*
 * The layer archive as cofre-runtime maps it: any bytes must be taken or refused, never read past.
 *
 * fuzz-sources: host/artifacts.c host/error.c host/options.c host/registry.c host/terminal.c host/volume_path.c
 */
#include "host/artifacts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unmap(const struct mapping *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32], *error = NULL;
    struct artifacts a;
    struct run_options options = {.layer = path};
    int fd = memfd_create("layer", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (artifacts_open(&a, &options, &error) == 0)
        for (uint32_t i = 0; i < 4; i++)
            artifacts_policy_string(&a, artifacts_policy(&a)->env_allow, i);
    unmap(&a.kernel);
    unmap(&a.policy);
    unmap(&a.sigstruct);
    unmap(&a.root);
    free(error);
    close(fd);
    return 0;
}
