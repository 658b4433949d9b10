/* Where named volumes are; for the runtime and for `cofre volume`. */
#ifndef COFRE_HOST_VOLUME_PATH_H
#define COFRE_HOST_VOLUME_PATH_H

#include <stdbool.h>

/* Letters, digits, '_', '.', '-'; the first is a letter or digit; at most 200. */
bool volume_name_valid(const char *name);
/* The folder of all volumes, malloc'd; NULL if there is no home to put it into, or no memory. */
char *volume_home(void);
/* FOLDER/NAME/FILE (FILE may be ""), malloc'd. */
char *volume_path(const char *name, const char *file);

#endif
