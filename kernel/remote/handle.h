/*
 * Handles: references to open files of the init enclave that a process elsewhere maps or executes. Each process has its
 * own; a fork copies them. The same file has one handle, counted: once for each time it was asked for.
 */
#ifndef COFRE_KERNEL_REMOTE_HANDLE_H
#define COFRE_KERNEL_REMOTE_HANDLE_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct file;
struct file_info;
struct inode;

struct handle {
    TAILQ_ENTRY(handle) entry;
    uint64_t number;
    uint64_t count;
    struct file *file; /* referenced */
};

struct handle_table {
    TAILQ_HEAD(, handle) handles;
    uint64_t last;
    int pid; /* whose it is */
};

void handle_table_init(struct handle_table *table, int pid);
void handle_table_free(struct handle_table *table);
must_check int handle_table_copy(struct handle_table *to, const struct handle_table *from);
/* One more reference for file; *ret_info describes it and its handle. 0 or -ENOMEM. */
must_check int handle_add(struct handle_table *table, struct file *file, struct file_info *ret_info);
struct file *handle_file(const struct handle_table *table, uint64_t number);      /* borrowed; NULL */
size_t handle_count(const struct handle_table *table, const struct inode *inode); /* files of it */
void handle_drop(struct handle_table *table, uint64_t number, uint64_t count);

#endif
