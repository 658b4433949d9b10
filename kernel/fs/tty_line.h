/* Between kernel/fs/tty.c and the line discipline, kernel/fs/tty_line.c. */
#ifndef COFRE_KERNEL_FS_TTY_LINE_H
#define COFRE_KERNEL_FS_TTY_LINE_H

#include "kernel/fs/poll.h"
#include "kernel/fs/tty.h"

/* Flags of an element of tty->input, above the byte. */
#define TTY_LINE_END 0x100 /* the last of a canonical line */
#define TTY_EOF 0x200      /* ^D: ends the line without being part of it */

/* One byte from the far side. */
void tty_line_input(struct tty *tty, uint8_t c);
/* What one byte written becomes (OPOST); at most 8 bytes. */
size_t tty_line_output(struct tty *tty, uint8_t c, char out[8]);
/* To the foreground process group. */
void tty_signal(struct tty *tty, int signal);

#endif
