/* The second half of exec, and the system calls: the old program goes, the new one is mapped and started. */
#include "kernel/process/exec.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "kernel/boot/boot.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/credentials.h"
#include "kernel/process/elf.h"
#include "kernel/process/futex.h"
#include "kernel/process/posix_timer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/sched/vdso.h"
#include "kernel/syscalls/syscall.h"

/* Where position-independent programs go: low, so that what lies above is one piece for mappings. */
#define PIE_BASE (4UL << 30)
#define PIE_RANDOM_PAGES (1UL << 20)
/* Without EDMM only what was added at build can hold pages, and that is a small low part. */
#define PIE_BASE_FIXED_MEMORY (16UL << 20)
#define BRK_RANDOM_PAGES (1UL << 13) /* 32 MiB, as Linux */
#define STACK_SIZE_MAX (64UL << 20)
#define STACK_SIZE_MIN (128UL << 10)
#define READ_AHEAD_MAX (256UL << 10) /* a libc's loader is smaller */
#define RFLAGS_START 0x202

/* One segment: file pages, then zeroes. The page where the file's part ends is shared by both. */
static int map_segment(struct file *file, const struct elf_segment *s, uaddr_t bias)
{
    uaddr_t start = s->vaddr + bias, page = ALIGN_DOWN(start, PAGE_SIZE);
    uaddr_t file_end = start + s->file_size, end = ALIGN_UP(start + s->memory_size, PAGE_SIZE);
    uaddr_t mapped_end = s->file_size ? ALIGN_UP(file_end, PAGE_SIZE) : page;
    if (s->file_size) {
        int64_t r = mm_map(page, mapped_end - page, s->prot, MAP_PRIVATE | MAP_FIXED, file,
                           (file_off_t)ALIGN_DOWN(s->offset, PAGE_SIZE));
        if (r < 0)
            return (int)r;
        /* A program without write permission there keeps the file's bytes, as on Linux. */
        if (s->memory_size > s->file_size && (s->prot & PROT_WRITE) && file_end < mapped_end &&
            clear_user(file_end, mapped_end - file_end) < 0)
            return -EFAULT;
    }
    if (end > mapped_end) {
        int64_t r = mm_map(mapped_end, end - mapped_end, s->prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, NULL, 0);
        if (r < 0)
            return (int)r;
    }
    return 0;
}

static uaddr_t pie_base(uint64_t align)
{
    uaddr_t base;
    if (policy_allows(POLICY_EDMM))
        base = PIE_BASE + mm_layout_random(MM_LAYOUT_PROGRAM) % PIE_RANDOM_PAGES * PAGE_SIZE;
    else
        base = PIE_BASE_FIXED_MEMORY;
    return ALIGN_UP(base, align);
}

/* Map a whole image. wish: where a dynamic one should go, 0 = anywhere. */
static int map_image(struct file *file, const struct elf_image *image, uaddr_t wish, uaddr_t *ret_bias)
{
    uint64_t size = image->high - image->low;
    if (!image->dynamic) {
        /* Nothing may be overwritten: the place is taken first, whole. */
        int64_t r = mm_map(image->low, size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, NULL, 0);
        if (r < 0)
            return (int)r;
        *ret_bias = 0;
    } else {
        uint64_t slack = image->align > PAGE_SIZE ? image->align : 0;
        int64_t r = mm_map(wish, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0);
        if (r < 0)
            return (int)r;
        uaddr_t at = ALIGN_UP((uaddr_t)r, image->align);
        *ret_bias = at - image->low;
        if (at > (uaddr_t)r && mm_unmap((uaddr_t)r, at - (uaddr_t)r) < 0)
            return -ENOMEM;
        if (at + size < (uaddr_t)r + size + slack && mm_unmap(at + size, (uaddr_t)r + slack - at) < 0)
            return -ENOMEM;
    }
    for (size_t i = 0; i < image->segment_count; i++) {
        int r = map_segment(file, &image->segments[i], *ret_bias);
        if (r < 0)
            return r;
    }
    /* Holes between segments are nobody's, as on Linux. */
    for (size_t i = 0; i + 1 < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i], *next = s + 1;
        uaddr_t hole = ALIGN_UP(s->vaddr + s->memory_size, PAGE_SIZE), end = ALIGN_DOWN(next->vaddr, PAGE_SIZE);
        if (hole < end && mm_unmap(hole + *ret_bias, end - hole) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int map_stack(const struct elf_image *image, uaddr_t *ret_top)
{
    struct mm *mm = mm_self();
    uint64_t size = process_self()->limits[RLIMIT_STACK].rlim_cur;
    size = ALIGN_UP(MAX(MIN(size, STACK_SIZE_MAX), STACK_SIZE_MIN), PAGE_SIZE);
    int prot = PROT_READ | PROT_WRITE | (image->executable_stack ? PROT_EXEC : 0);
    uaddr_t top = ALIGN_DOWN(mm->stack_top, PAGE_SIZE);
    int64_t r =
        mm_map(top - size, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | MAP_FIXED, NULL, 0);
    if (r < 0)
        return (int)r;
    mm_name(top - size, "[stack]");
    *ret_top = top;
    return 0;
}

static int map_vdso(uaddr_t *ret_vdso)
{
    size_t size;
    const void *image = vdso_image(&size);
    *ret_vdso = 0;
    if (!image || !size)
        return 0;
    size_t room = ALIGN_UP(size, PAGE_SIZE);
    int64_t r = mm_map(0, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    if (r < 0)
        return (int)r;
    if (copy_to_user((uaddr_t)r, image, size) < 0)
        return -EFAULT;
    int p = mm_protect((uaddr_t)r, room, PROT_READ | PROT_EXEC);
    if (p < 0)
        return p;
    mm_name((uaddr_t)r, "[vdso]");
    mm_self()->vdso = *ret_vdso = (uaddr_t)r;
    return 0;
}

/* Of a loader and a small program hardly a page stays untouched. */
static void read_ahead(const struct elf_image *image, uaddr_t bias)
{
    if (image->high - image->low <= READ_AHEAD_MAX)
        mm_read_ahead(ALIGN_DOWN(image->low + bias, PAGE_SIZE), ALIGN_UP(image->high + bias, PAGE_SIZE));
}

static int map_program(struct exec *exec, struct exec_layout *layout, uaddr_t *ret_entry)
{
    const struct elf_image *image = exec->image;
    int r = map_image(exec->file, image, pie_base(image->align), &layout->load_bias);
    if (r < 0)
        return r;
    *ret_entry = image->entry + layout->load_bias;
    uaddr_t brk = image->high + layout->load_bias;
    if (policy_allows(POLICY_EDMM))
        brk += mm_layout_random(MM_LAYOUT_BRK) % BRK_RANDOM_PAGES * PAGE_SIZE;
    mm_set_brk(brk);
    r = map_stack(image, &layout->stack_top);
    if (r == 0 && exec->interp) {
        uaddr_t bias;
        r = map_image(exec->interp_file, exec->interp, 0, &bias);
        layout->interp_base = bias + (exec->interp->dynamic ? exec->interp->low : 0);
        *ret_entry = exec->interp->entry + bias;
        if (r == 0)
            read_ahead(exec->interp, bias);
    }
    if (r == 0)
        read_ahead(image, layout->load_bias);
    if (r == 0)
        r = map_vdso(&layout->vdso);
    return r;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What /proc says about the program. */
static void describe(struct process *process, struct file *program, const char *command_line, size_t size)
{
    if (process->exe) {
        process->exe->inode->deny_write--;
        file_put(process->exe);
    }
    process->exe = program ? file_get(program) : NULL;
    if (program)
        program->inode->deny_write++;

    kfree(process->exe_path);
    process->exe_path = NULL;
    char *page = program && program->dentry ? page_alloc() : NULL;
    if (page) {
        char *path = dentry_path(program->dentry, page, PAGE_SIZE);
        process->exe_path = path ? kstrdup(path) : NULL;
        page_free(page);
    }
    kfree(process->command_line);
    process->command_line = kmalloc(size + 1);
    process->command_line_size = process->command_line ? size : 0;
    if (process->command_line)
        memcpy(process->command_line, command_line, size);
}

const char *exec_comm(const struct exec *exec)
{
    if (!exec->nameless)
        return base_name(exec->name);
    return exec->file->dentry ? dentry_name(exec->file->dentry) : exec->file_name;
}

static void forget_old_program(struct process *process)
{
    posix_timers_delete(process);
    if (process->files)
        fd_close_on_exec(process->files);
    signal_reset_actions(process);
    process->dumpable = 1;
    process->did_exec = true;
    process->exit_signal = SIGCHLD;
}

static void task_forget_old_program(struct task *task)
{
    futex_exit_robust(task);
    futex_exit_pi(task);
    task->clear_child_tid = 0;
    task->set_child_tid = 0;
    task->restart_fn = NULL;
    task->signals.altstack_base = 0;
    task->signals.altstack_size = 0;
    task->signals.altstack_flags = SS_DISABLE;
}

void process_did_exec(struct process *process, struct file *program, const char *comm, const char *command_line,
                      size_t size)
{
    forget_old_program(process);
    describe(process, program, command_line, size);
    string_copy(process->comm, comm, sizeof process->comm);
    process->borrows_memory = false;
    process_vfork_done(process);
}

int exec_commit(struct exec *exec, struct trap_frame *frame)
{
    struct process *process = process_self();
    struct exec_layout layout = {0};
    uaddr_t entry;

    bool secure = false;
    shared_give_all(0, UINT64_MAX);
    pages_leave_open();
    mm_reset();
    credentials_exec(&process->credentials, exec->set_mode, exec->set_uid, exec->set_gid, process->no_new_privs,
                     &secure);
    layout.secure = secure;
    int r = map_program(exec, &layout, &entry);
    if (r < 0)
        return r;
    int64_t sp = exec_stack_fill(exec, &layout);
    if (sp < 0)
        return (int)sp;
    describe(process, exec->file, exec->argv.text, exec->argv.size);
    string_copy(task_current()->comm, exec_comm(exec), sizeof task_current()->comm);
    if (secure || exec->unreadable)
        process->dumpable = 0;
    if (secure)
        process->pdeath_signal = 0;
    if (!user_range_ok(entry, 1))
        return -EFAULT; /* as a jump there would be */
    *frame = (struct trap_frame){.rip = entry, .rsp = (uint64_t)sp, .rflags = RFLAGS_START, .orig_rax = -1};
    pages_close_idle();
    return 0;
}

/* Nobody else may still run on the memory that is about to go: not the children that vfork made of other threads. */
static int wait_for_borrowers(void)
{
    struct wait_entry entry;
    int r = 0;
    wait_entry_init(&entry, NULL);
    wait_queue_add(task_end_wait(), &entry);
    for (;;) {
        task_prepare_sleep_killable();
        if (task_count() == 1 || r < 0) {
            task_cancel_sleep();
            break;
        }
        r = task_sleep(NO_DEADLINE);
    }
    wait_queue_remove(&entry);
    return r < 0 && task_count() > 1 ? -EAGAIN : 0;
}

/* The program is found; the old one ends. A child of vfork leaves its parent's enclave, everybody else stays. */
static int64_t exec_replace(struct exec *exec)
{
    struct task *task = task_current();
    struct process *process = task->process;
    if (threads_end_others() < 0)
        return -EAGAIN;
    if (process->borrows_memory) {
        int r = process_exec_elsewhere(exec);
        if (r < 0)
            return r;
        exec_free(exec);
        kfree(exec);
        thread_left();
    }
    if (wait_for_borrowers() < 0)
        return -EAGAIN;
    int r = member_ops ? 0 : fd_unshare();
    if (r < 0)
        return r;

    /* No way back from here. */
    task_forget_old_program(task);
    forget_old_program(process);
    r = exec_commit(exec, task->frame);
    if (r == 0 && member_ops)
        r = member_ops->execed(exec);
    if (r < 0) {
        process->unkillable = false;
        printk(LOG_WARNING, "exec of %s failed after the old program was gone\n", exec->name);
        exec_free(exec);
        kfree(exec);
        process_exit(SIGSEGV);
    }
    fs_base_set(0);
    vector_state_reset();
    return 0;
}

static int64_t exec_user(int dfd, uaddr_t user_path, uaddr_t argv, uaddr_t envp, int flags)
{
    struct exec *exec = kmalloc(sizeof *exec);
    char *path = NULL;
    if (!exec)
        return -ENOMEM;
    exec_init(exec);
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    if (flags & AT_EMPTY_PATH)
        lookup |= LOOKUP_EMPTY_PATH;
    int64_t r = path_from_user(user_path, flags & AT_EMPTY_PATH, &path);
    if (r == 0) {
        /* As Linux names what is run by descriptor, so that a script's interpreter finds it. */
        char *name = kmalloc(strlen(path) + 32);
        if (!name)
            r = -ENOMEM;
        else if (dfd == AT_FDCWD || path[0] == '/')
            string_copy(name, path, strlen(path) + 1);
        else if (path[0] == '\0')
            snprintf(name, 32, "/dev/fd/%d", dfd);
        else
            snprintf(name, strlen(path) + 32, "/dev/fd/%d/%s", dfd, path);
        exec->name = name;
        exec->nameless = path[0] == '\0';
        exec->cloexec_fd = !member_ops && dfd != AT_FDCWD && path[0] != '/' && fd_get_flags(dfd) > 0;
    }
    if (r == 0)
        r = exec_add_user(exec, &exec->argv, argv);
    if (r == 0)
        r = exec_add_user(exec, &exec->envp, envp);
    if (r == 0 && exec->argv.count == 0)
        r = exec_add(exec, &exec->argv, "");
    if (r == 0)
        r = member_ops ? member_ops->exec_open(exec, dfd, path, lookup) : exec_open(exec, dfd, path, lookup);
    kfree(path);
    if (r == 0)
        r = exec_replace(exec);
    exec_free(exec);
    kfree(exec);
    return r;
}

SYSCALL_DEFINE3(execve, uaddr_t, path, uaddr_t, argv, uaddr_t, envp)
{
    return exec_user(AT_FDCWD, path, argv, envp, 0);
}

SYSCALL_DEFINE5(execveat, int, dfd, uaddr_t, path, uaddr_t, argv, uaddr_t, envp, int, flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return exec_user(dfd, path, argv, envp, flags);
}
