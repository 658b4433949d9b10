/*
 * The report of a crash: what happened where, the way there with names, and the last system calls. For developers: it
 * shows what the application computes, so it is made only where the policy allows diagnostics.
 */
#include "kernel/process/crash.h"

#include <asm-generic/errno.h>
#include <linux/elf.h>
#include <linux/mman.h>

#include "kernel/boot/boot.h"
#include "kernel/fs/file.h"
#include "kernel/fs/inode.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/symbol.h"
#include "kernel/process/unwind.h"
#include "kernel/syscalls/table.h"

#define FRAMES_MAX 40
#define PROGRAM_HEADERS_MAX 64

#define report(...) printk(LOG_ERROR, __VA_ARGS__)

static const char *signal_text(int signal)
{
    switch (signal) {
    case SIGILL:
        return "SIGILL (illegal instruction)";
    case SIGTRAP:
        return "SIGTRAP (breakpoint)";
    case SIGABRT:
        return "SIGABRT (abort)";
    case SIGBUS:
        return "SIGBUS (no memory behind the address)";
    case SIGFPE:
        return "SIGFPE (arithmetic)";
    case SIGSEGV:
        return "SIGSEGV (invalid memory access)";
    default:
        return "SIGSYS (bad system call)";
    }
}

/* ---- what is loaded where ---- */

struct module {
    struct file *file; /* the mapping's */
    uint64_t bias;     /* address - the file's own address */
    uint64_t eh_frame_hdr;
};

/* The first mapping of the file that pc is in. */
static struct vma *module_start(uint64_t pc)
{
    struct vma *at = mm_find_vma(pc), *first = at;
    if (!at || (!at->file && !at->name))
        return NULL;
    for (struct vma *v = at; v && v->file == at->file; v = v->start > USER_BASE ? mm_find_vma(v->start - 1) : NULL)
        first = v;
    return first;
}

static bool module_find(uint64_t pc, struct module *ret_module)
{
    struct vma *first = module_start(pc);
    Elf64_Ehdr head;
    Elf64_Phdr segment;
    bool found = false;
    if (!first || first->offset != 0 || copy_from_user(&head, first->start, sizeof head) < 0 ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof segment || head.e_phoff > PAGE_SIZE)
        return false;
    *ret_module = (struct module){.file = first->file};
    for (unsigned i = 0; i < MIN(head.e_phnum, PROGRAM_HEADERS_MAX); i++) {
        if (copy_from_user(&segment, first->start + head.e_phoff + i * sizeof segment, sizeof segment) < 0)
            return false;
        if (segment.p_type == PT_LOAD && !found) {
            ret_module->bias = first->start - (segment.p_vaddr - segment.p_offset);
            found = true;
        }
        if (segment.p_type == PT_GNU_EH_FRAME)
            ret_module->eh_frame_hdr = segment.p_vaddr;
    }
    if (ret_module->eh_frame_hdr)
        ret_module->eh_frame_hdr += ret_module->bias;
    return found;
}

static bool space_read(void *context, uint64_t addr, void *buf, size_t size)
{
    return copy_from_user(buf, addr, size) == 0;
}

static bool space_find(void *context, uint64_t pc, uint64_t *ret_eh_frame_hdr)
{
    struct module module;
    if (!module_find(pc, &module) || !module.eh_frame_hdr)
        return false;
    *ret_eh_frame_hdr = module.eh_frame_hdr;
    return true;
}

/* ---- names ---- */

struct page_reader {
    struct file *file;
    uint64_t index; /* of the page in `page`; ~0: none */
    uint8_t *page;
};

/* By pages, which members of a container can have of any file that they have mapped. */
static ssize_t read_pages(void *context, void *buf, size_t size, file_off_t pos)
{
    struct page_reader *r = context;
    struct inode *inode = r->file->inode;
    size_t done = 0;
    if (!inode->ops || !inode->ops->read_page)
        return -EIO;
    while (done < size && pos + (file_off_t)done < inode->size) {
        uint64_t at = (uint64_t)pos + done, index = at / PAGE_SIZE;
        size_t part = MIN(size - done, PAGE_SIZE - at % PAGE_SIZE);
        if (index != r->index && inode->ops->read_page(inode, index, r->page) < 0)
            return -EIO;
        r->index = index;
        memcpy((uint8_t *)buf + done, r->page + at % PAGE_SIZE, part);
        done += part;
    }
    return (ssize_t)done;
}

static int name_find(struct file *file, uint64_t vaddr, char *ret_name, size_t size, uint64_t *ret_offset)
{
    struct page_reader pages = {.file = file, .index = ~0ULL, .page = kmalloc(PAGE_SIZE)};
    struct elf_reader reader = {.read = read_pages, .context = &pages};
    if (!pages.page)
        return -ENOMEM;
    int r = symbol_find(&reader, vaddr, ret_name, size, ret_offset);
    kfree(pages.page);
    return r;
}

static void report_frame(unsigned n, uint64_t rip, uint64_t pc)
{
    struct module module;
    char name[96], path_buf[256];
    uint64_t offset;
    if (!module_find(pc, &module) || !module.file) {
        const struct vma *vma = mm_find_vma(pc);
        report("  #%u %lx %s\n", n, rip,
               !vma        ? "(nothing is mapped there)"
               : vma->name ? vma->name
                           : "(code made at run time)");
        return;
    }
    const char *path = file_path(module.file, path_buf, sizeof path_buf);
    if (!path)
        path = "?";
    if (name_find(module.file, pc - module.bias, name, sizeof name, &offset) == 0)
        report("  #%u %lx %s+0x%lx (%s+0x%lx)\n", n, rip, name, offset + (rip - pc), path, rip - module.bias);
    else
        report("  #%u %lx (%s+0x%lx)\n", n, rip, path, rip - module.bias);
}

static void report_frames(const struct trap_frame *frame)
{
    const struct unwind_space space = {.read = space_read, .find = space_find};
    struct unwind u = {
        .registers = {frame->rax, frame->rdx, frame->rcx, frame->rbx, frame->rsi, frame->rdi, frame->rbp, frame->rsp,
                      frame->r8, frame->r9, frame->r10, frame->r11, frame->r12, frame->r13, frame->r14, frame->r15,
                      frame->rip},
        .known = (1U << UNWIND_REGISTERS) - 1,
        .after_call = frame->orig_rax >= 0, /* in a system call, or behind one: the site is before */
    };
    unsigned n = 0;
    if (!mm_find_vma(frame->rip) && get_user64(&u.registers[UNWIND_RIP], frame->rsp) == 0) {
        /* A call of what is no function: go on at the caller. */
        report_frame(n++, frame->rip, frame->rip);
        u.registers[UNWIND_RSP] += 8;
        u.after_call = true;
    }
    do
        report_frame(n++, u.registers[UNWIND_RIP], unwind_pc(&u));
    while (n < FRAMES_MAX && unwind_step(&space, &u));
}

static void report_cause(const struct trap_frame *frame, const struct signal_source *source)
{
    const struct task *task = task_current();
    const struct process *process = task->process;
    report("process %d (%s, thread %d) is ended by %s\n", process->pid, task->comm, task->tid,
           signal_text(source->signal));
    if (source->trap_no == TRAP_PF && source->code > 0)
        report("  %s address %lx, %s\n",
               source->trap_error & PF_INSTRUCTION ? "executing"
               : source->trap_error & PF_WRITE     ? "writing"
                                                   : "reading",
               source->trap_addr,
               mm_find_vma(source->trap_addr) ? "where that is not allowed" : "where nothing is mapped");
}

static void report_registers(const struct trap_frame *f)
{
    report("  rip %016lx rsp %016lx rbp %016lx rflags %lx\n", f->rip, f->rsp, f->rbp, f->rflags);
    report("  rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
    report("  rsi %016lx rdi %016lx r8  %016lx r9  %016lx\n", f->rsi, f->rdi, f->r8, f->r9);
    report("  r10 %016lx r11 %016lx r12 %016lx r13 %016lx\n", f->r10, f->r11, f->r12, f->r13);
    report("  r14 %016lx r15 %016lx\n", f->r14, f->r15);
}

static void report_calls(const struct task *task)
{
    unsigned count = MIN(task->recent_count, RECENT_CALLS);
    report("  last system calls:%s\n", count ? "" : " none");
    for (unsigned i = 0; i < count; i++) {
        const struct recent_call *call = &task->recent_calls[(task->recent_count - count + i) % RECENT_CALLS];
        const char *name = syscall_name(call->nr);
        if (call->result == CALL_UNFINISHED)
            report("    %s(%lx)\n", name ? name : "?", call->argument);
        else
            report("    %s(%lx) = %ld\n", name ? name : "?", call->argument, call->result);
    }
}

void process_crashed(const struct trap_frame *frame, const struct signal_source *source)
{
    if (!policy_allows(POLICY_DIAGNOSTICS))
        return;
    report_cause(frame, source);
    report_registers(frame);
    report_frames(frame);
    report_calls(task_current());
}
