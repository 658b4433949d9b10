/* Folders that the host program makes for itself. */
#ifndef COFRE_HOST_FOLDERS_H
#define COFRE_HOST_FOLDERS_H

/* Make the folders above path, which is absolute, for nobody else (0700), as far as they are not there. 0 or -errno.
 * path is changed meanwhile. */
int make_folders_above(char *path);

#endif
