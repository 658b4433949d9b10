/* What the commands of `cofre volume` share. */
#ifndef COFRE_VOLUME_TOOL_H
#define COFRE_VOLUME_TOOL_H

#include <sys/stat.h>

#include "kernel/volume/volume.h"

/* Exit codes beside those of cli/command.h. */
enum {
    EXIT_NOT_VOLUME = 3,
    EXIT_KEY = 4,
    EXIT_DAMAGED = 5,
    EXIT_ROLLED_BACK = 6,
    EXIT_IN_USE = 7,
    EXIT_DISK = 8, /* full or failing */
    EXIT_CUT_SHORT = 9,
    EXIT_FEATURE = 10,    /* a feature or version that is not known here */
    EXIT_OLD_HEADER = 11, /* the header is older than the checkpoints */
};

/* Options that all commands have, and theirs; operands are left in argv from optind on. */
struct tool_options {
    const char *command;
    const char *key_file, *passphrase_file, *recovery_key;
    const char *recovery; /* a public key, for a new slot */
    const char *name, *output, *size, *snapshot, *from, *stream_key_file, *new_key_file;
    bool force, foreground, json, quiet;
    uint64_t inode;
    const char *anchor, *anchor_key, *local_anchor;
    const char *anchor_certificate, *marble, *marble_key;
    bool confirm;
};

/* volume/file.c: a host file as what lies below a volume. */
struct volume_file {
    struct volume_io io;
    int fd;
    const char *path;
    uint64_t read_count, read_total; /* for volume_file_progress() */
};
/* Locked against other tools (exclusively, for writing); 0, or an exit code after a message. */
int volume_file_open(struct volume_file *file, const char *path, bool writing);
/* A new file of size bytes, all allocated; an existing one only with force. */
int volume_file_create(struct volume_file *file, const char *path, uint64_t size, bool force);
/* The same of a descriptor, which it takes. */
int volume_file_start(struct volume_file *file, const char *path, int fd, bool writing);
void volume_file_close(struct volume_file *file);
/* From now on what is read of it is progress (tool_progress), towards `total` blocks. */
void volume_file_progress(struct volume_file *file, uint64_t total);
/* A file that a command writes to, for its owner alone: a new one, with force also one that exists, but never the
 * volume at `volume`. What is no regular file (a terminal, /dev/null) needs no force. A descriptor, or -1 after a
 * message. */
int tool_output_open(const char *path, bool force, const char *volume);
/* Such a file is of no use: it goes, unless it is no regular one. */
void tool_output_drop(const char *path);

/* volume/unlock.c */
int tool_unlock(void *options, const struct volume_key_slot *slot, uint8_t ret_key[32]);
/* A slot of the type that the options say, with its wrapping key; 0 or an exit code after a message. */
int tool_new_slot(const struct tool_options *options, struct volume_key_slot *ret_slot, uint8_t ret_key[32]);

/* volume/send.c: what --stream-key-file has; 0 or an exit code after a message. */
int tool_stream_key(const struct tool_options *options, uint8_t ret_key[32]);
/* A slot for the holder of the private half of options->recovery. */
int tool_recovery_slot(const struct tool_options *options, struct volume_key_slot *ret_slot, uint8_t ret_key[32]);

/* An error about which the user was told already, and the exit code that it ends in. */
#define TOOL_SAID(code) (-(10000 + (code)))

/* A message for what the engine answered; the exit code. */
int tool_failed(const char *path, int error);
/* The same, where it was not opening that failed. */
int tool_failed_doing(const char *doing, const char *path, int error);
/* Bytes of 512M, 10G ...; 0: no size. */
uint64_t tool_size(const char *text);

/* Opens for reading only: the log is applied in memory, nothing is written. With options->snapshot: that. */
int tool_mount(struct volume_file *file, const char *path, struct tool_options *options, struct volume **ret_volume);
/* Opens for writing: a mount of its own. volume_options may be NULL. */
int tool_mount_writing(struct volume_file *file, const char *path, struct tool_options *options,
                       const struct volume_options *volume_options, struct volume **ret_volume);

/* The same with all of it at its place, as if it had been closed, on an overlay in memory; ends with
 * tool_overlay_close(). */
int tool_mount_overlay(struct volume_file *file, const char *path, struct tool_options *options,
                       struct volume **ret_volume);
void tool_overlay_close(struct volume_file *file, struct volume *v);

/* volume/progress.c: one line at a time; tool_progress is a volume_progress_fn. */
void tool_progress_begin(const struct tool_options *options, const char *step, uint64_t total);
void tool_progress(void *arg, uint64_t done, uint64_t total);
void tool_progress_end(void);

/* volume/snapshot.c */
void tool_guid_text(const uint8_t guid[16], char ret_text[33]);

/* The node of a path in the volume, links in it not followed; 0 or negative errno. */
int tool_lookup(struct volume *v, const char *path, struct volume_node **ret_node);
/* Calls fn for each entry but "." and ".." in the order of names; fn returns non-zero to stop, which is returned. */
typedef int (*tool_entry_fn)(void *arg, const char *name, uint64_t ino);
int tool_entries(struct volume_node *dir, tool_entry_fn fn, void *arg);

int volume_cmd_accept_rollback(struct tool_options *options, char **operands);
int volume_cmd_create(struct tool_options *options, char **operands);
int volume_cmd_info(struct tool_options *options, char **operands);
int volume_cmd_check(struct tool_options *options, char **operands);
int volume_cmd_dump(struct tool_options *options, char **operands);
int volume_cmd_extract(struct tool_options *options, char **operands);
int volume_cmd_tar(struct tool_options *options, char **operands);
int volume_cmd_import(struct tool_options *options, char **operands);
int volume_cmd_add_key(struct tool_options *options, char **operands);
int volume_cmd_derive(struct tool_options *options, char **operands);
int volume_cmd_rekey(struct tool_options *options, char **operands);
int volume_cmd_keygen(struct tool_options *options, char **operands);
int volume_cmd_ls(struct tool_options *options, char **operands);
int volume_cmd_resize(struct tool_options *options, char **operands);
int volume_cmd_snapshot(struct tool_options *options, char **operands);
int volume_cmd_send(struct tool_options *options, char **operands);
int volume_cmd_receive(struct tool_options *options, char **operands);
int volume_cmd_clone(struct tool_options *options, char **operands);
int volume_cmd_mount(struct tool_options *options, char **operands);
int volume_cmd_unmount(struct tool_options *options, char **operands);
int volume_cmd_rm(struct tool_options *options, char **operands);
int volume_cmd_remove_key(struct tool_options *options, char **operands);

#endif
