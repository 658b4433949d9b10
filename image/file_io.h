/* Whole reads and writes at an offset, and temporary files that leave nothing behind. */
#ifndef COFRE_IMAGE_FILE_IO_H
#define COFRE_IMAGE_FILE_IO_H

#include <stddef.h>
#include <stdint.h>

/* what names the file in errors. A read past the end of file is an error too. */
int file_read(int fd, uint64_t offset, void *data, size_t size, const char *what, char **ret_error);
int file_write(int fd, uint64_t offset, const void *data, size_t size, const char *what, char **ret_error);

/* An unlinked file in the folder, for reading and writing; -1 with *ret_error. */
int file_temporary(const char *folder, char **ret_error);

/* The folder a path is in ("." if it has no slash); malloc'd. */
char *path_folder(const char *path);

/* Removes a folder and all in it; what cannot be removed stays. */
void path_remove_all(const char *path);

#endif
