/* The image's folder in a new volume (docs/volumes.md). */
#ifndef COFRE_KERNEL_FS_VOLUME_POPULATE_H
#define COFRE_KERNEL_FS_VOLUME_POPULATE_H

#include "kernel/fs/volumefs.h"

/*
 * If nothing was ever done to the volume, or a copy into it was cut short: it gets the owner and mode of `from` and,
 * with `contents`, all that is in it. Durable. At boot.
 */
must_check int volume_populate(struct volumefs *fs, struct inode *from, bool contents);

#endif
