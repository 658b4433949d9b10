/* The encryption of root images (contract in hosted_encrypt.h). */
#include "hosted_encrypt.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/image_key.h"

bool hosted_encrypt(const char *path, const uint8_t *key)
{
    struct stat status;
    char *error = NULL;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good =
        fd >= 0 && fstat(fd, &status) == 0 && image_encrypt(fd, 0, (uint64_t)status.st_size, key, NULL, &error) == 0;
    if (error)
        fprintf(stderr, "%s\n", error);
    if (fd >= 0)
        close(fd);
    return good;
}
