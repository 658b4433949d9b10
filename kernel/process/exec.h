/*
 * Starting a program: exec_open() finds and checks everything while the old program still lives; exec_commit() then
 * replaces it and cannot be undone. Arguments are copied in between.
 */
#ifndef COFRE_KERNEL_PROCESS_EXEC_H
#define COFRE_KERNEL_PROCESS_EXEC_H

#include "kernel/arch/trap.h"
#include "kernel/lib/types.h"

struct file;
struct elf_image;

/* NUL-terminated strings back to back. */
struct exec_strings {
    char *text; /* kmalloc'd */
    size_t size, capacity, count;
};

struct exec {
    struct exec_strings argv, envp;
    size_t limit;                        /* bytes that strings and pointers may take in all */
    char *name;                          /* as the caller gave it (AT_EXECFN), kmalloc'd */
    struct file *file;                   /* the ELF program, after scripts */
    struct file *interp_file;            /* its PT_INTERP, or NULL */
    struct elf_image *image;             /* kmalloc'd */
    struct elf_image *interp;            /* kmalloc'd, or NULL */
    uint32_t set_mode, set_uid, set_gid; /* of the program's file, for set-id */
    bool unreadable;                     /* by the caller: what runs must not be dumped either */
    bool nameless;                       /* by descriptor alone: named after its file */
    char file_name[16];                  /* of the program, where its file has no name here (a member's) */
    bool cloexec_fd;                     /* opened by a descriptor that exec will close: scripts cannot work */
};

/* Zeroed, with the limit on arguments set from RLIMIT_STACK. */
void exec_init(struct exec *exec);
void exec_free(struct exec *exec);

/* Append a string: 0, -E2BIG, -ENOMEM, -EFAULT. */
must_check int exec_add(struct exec *exec, struct exec_strings *strings, const char *string);
/* Append all strings of a user array of pointers (0: none). */
must_check int exec_add_user(struct exec *exec, struct exec_strings *strings, uaddr_t user_array);
/* Put a string in front of the others, or drop the first. For scripts. */
must_check int exec_prepend(struct exec *exec, struct exec_strings *strings, const char *string);
void exec_drop_first(struct exec_strings *strings);

/* Find the program at path (dfd and LOOKUP_* flags as usual), follow #! lines, parse it and its interpreter. exec->argv
 * must be complete. Errors as execve(2). */
must_check int exec_open(struct exec *exec, int dfd, const char *path, unsigned lookup_flags);
/* Replace the program; *frame then starts the new one. Any error is fatal to the process. */
must_check int exec_commit(struct exec *exec, struct trap_frame *frame);

/* The thread's name once the program runs. */
const char *exec_comm(const struct exec *exec);

/* kernel/process/script.c: is `head` (NUL padded, 256 bytes) a "#!" line? 0 = no; 1 = yes, with interpreter and
 * argument (NULL if none) pointing into head, which is changed; -ENOEXEC. */
#define SCRIPT_HEAD_SIZE 256
must_check int script_parse(char head[SCRIPT_HEAD_SIZE], char **ret_interp, char **ret_arg);

/* kernel/process/exec_stack.c: what the initial stack tells the program. */
struct exec_layout {
    uaddr_t load_bias, interp_base; /* interp_base 0: none */
    uaddr_t vdso;                   /* 0: none */
    bool secure;
    uaddr_t stack_top;
};
/* Writes strings, auxiliary vector and pointers below stack_top; returns the stack pointer, or -errno. */
must_check int64_t exec_stack_fill(const struct exec *exec, const struct exec_layout *layout);

#endif
