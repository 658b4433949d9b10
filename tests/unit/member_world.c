/* The init enclave says anything (contract in member_world.h). */
#include "member_world.h"

#include <linux/errno.h>
#include <linux/signal.h>
#include <setjmp.h>

#include "hosted_libc.h"
#include "input.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/image_key.h"
#include "kernel/fs/proc_text.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/image.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/vma.h"
#include "kernel/process/exec.h"
#include "kernel/process/itimer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/remote/area.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/member.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/remote_file.h"
#include "kernel/remote/renew.c" /* its lives begin anew with each input */
#include "kernel/remote/shared_member.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

#define FAIL(text) hosted_abort("hostile init enclave: " text)
#define MEMBERS 4U
#define LINKS 12U

struct member_world_counts member_world_counts;

/* ---- memory, in which nothing is mapped ---- */

bool pages_edmm(void)
{
    return true;
}

unsigned vma_rights(int prot)
{
    return (unsigned)prot;
}

uint64_t vma_page_index(const struct vma *vma, uaddr_t page)
{
    return (page - vma->start) / PAGE_SIZE;
}

void vma_bring_in(struct vma *vma, const uaddr_t *pages, const uint64_t *blocks, size_t count)
{
    (void)vma;
    (void)pages;
    (void)blocks;
    (void)count;
    FAIL("a mapping");
}

uint8_t page_state(uaddr_t page)
{
    (void)page;
    return 0;
}

uint64_t pages_available(void)
{
    return 0;
}

bool shared_any(const struct inode *inode)
{
    (void)inode;
    return false;
}

void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    FAIL("untrusted memory");
}

uint32_t untrusted_load32(host_ptr p)
{
    FAIL("untrusted memory");
    return 0;
}

void untrusted_store32(host_ptr p, uint32_t value)
{
    FAIL("untrusted memory");
}

void untrusted_store64(host_ptr p, uint64_t value)
{
    FAIL("untrusted memory");
}

/* ---- the input ---- */

static struct input in;

/* Of what is large only the beginning comes from the input; the rest is one byte. */
static size_t take(void *buf, size_t size)
{
    size_t most = MIN(size, 64UL), n = MIN(most, in.left);
    memset(buf, size > 64 && in.left > 0 ? *in.at & 1 : 0, size);
    memcpy(buf, in.at, n);
    in.at += n;
    in.left -= n;
    return n;
}

static uint64_t number(size_t bytes)
{
    return input_number(&in, bytes);
}

/* ---- memory, ends ---- */

static long allocations;
static jmp_buf over; /* the enclave has ended: to the next input */
static bool running;
static void *given; /* the record that is being looked at: an enclave that ends does not free it */

void *kmalloc(size_t size)
{
    allocations++;
    return hosted_malloc(size);
}

void *kzalloc(size_t size)
{
    return memset(kmalloc(size), 0, size);
}

void *krealloc(void *p, size_t size)
{
    allocations += p == NULL;
    return hosted_realloc(p, size);
}

void kfree(void *p)
{
    allocations -= p != NULL;
    if (p == given)
        given = NULL;
    hosted_free(p);
}

void *page_alloc(void)
{
    allocations++;
    return hosted_page_alloc(PAGE_SIZE);
}

void page_free(void *page)
{
    kfree(page);
}

char *kstrdup(const char *s)
{
    return memcpy(kmalloc(strlen(s) + 1), s, strlen(s) + 1);
}

size_t string_copy(char *dst, const char *src, size_t size)
{
    size_t length = strlen(src), n = MIN(length, size - 1);
    memcpy(dst, src, n);
    dst[n] = '\0';
    return length;
}

void printk(enum log_level level, const char *format, ...)
{
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    FAIL("panic");
    __builtin_unreachable();
}

noreturn_fn void hostcall_exit(int status)
{
    if (!running)
        FAIL("the end, outside");
    member_world_counts.ended++;
    longjmp(over, 1);
}

void pages_keep_text(void)
{
}

void mm_keep_layout(void)
{
}

void pages_close_idle(void)
{
}

static bool renewing; /* between RENEW and the end of the old process */
static unsigned forgotten;

static void forget(void)
{
    forgotten++;
}

void local_epoll_reset(void)
{
    forget();
}

void leased_reset(void)
{
    forget();
}

void posted_reset(void)
{
    forget();
}

void waiting_reset(void)
{
    forget();
}

void sealed_reset(void)
{
    forget();
}

void shared_member_reset(void)
{
    forget();
}

void descriptors_reset(void)
{
    forget();
}

void mm_renew(void)
{
    forget();
}

void membarrier_reset(void)
{
    forget();
}

void mempolicy_reset(void)
{
    forget();
}

void signal_flush(struct process *process, struct pending_signals *pending, sigset64_t set)
{
    forget();
}

void process_release(struct process *process)
{
    renewing = false;
}

void stats_publish(void)
{
    if (forgotten != 11)
        FAIL("something is not forgotten");
    forgotten = 0;
}

static size_t heap_used;

size_t kmalloc_bytes_used(void)
{
    return heap_used;
}

uint64_t time_monotonic_ns(void)
{
    return 1;
}

const struct policy *policy(void)
{
    static const struct policy none;
    return &none;
}

void image_key_receive(const uint8_t key[IMAGE_KEY_SIZE])
{
    FAIL("a key that was not asked for");
}

/* ---- the link ---- */

static void (*handlers[MESSAGE_TYPE_MAX])(struct record *record);

void client_init(void)
{
}

void client_on_message(uint32_t type, void (*fn)(struct record *record))
{
    handlers[type] = fn;
}

int client_send(struct message *message, size_t size)
{
    if (message->type == MESSAGE_HELLO && forgotten)
        FAIL("it says that it is nobody and is somebody");
    return message->type >= MESSAGE_HELLO && size >= sizeof(*message) ? 0 : -EPIPE;
}

int client_post(struct message *message, size_t size)
{
    return client_send(message, size);
}

void client_drain(void)
{
}

static struct record *record_of(uint32_t type, size_t size)
{
    struct record *record = kmalloc(sizeof(*record) + size);
    struct message *m = (struct message *)record->data;
    record->size = size;
    take(record->data, size);
    if (size >= sizeof(*m))
        m->type = type;
    return record;
}

/* Few file systems, since a member knows each for ever; most often a name that ends and a size. */
static void tame_file(struct file_info *info)
{
    info->dev %= 4;
    if (number(1) % 8)
        info->path[number(1) % 16] = '\0';
    if (number(1) % 8)
        info->size &= INT64_MAX;
    info->handle %= 4;
}

/* A program that could be: then changed in places. */
static void tame_elf(struct elf_image *image)
{
    uint64_t how = number(1);
    if (how % 8 == 0)
        return;
    memset(image, 0, offsetof(struct elf_image, interp));
    image->dynamic = how & 8;
    image->high = 0x4000;
    image->align = PAGE_SIZE;
    image->segment_count = 1;
    image->segments[0] = (struct elf_segment){.vaddr = 0x1000, .offset = 0x1000, .file_size = 100, .memory_size = 200};
    image->interp[how] = '\0';
    for (uint64_t n = number(1) % 3; n > 0; n--)
        ((uint8_t *)image)[number(1)] = (uint8_t)number(1);
}

static void say_adopt(void);

/* Most often of the size that the asker hopes for, with a result that makes it go on. */
int client_request(struct message *message, size_t size, struct record **ret_answer)
{
    static const uint32_t sizes[MESSAGE_TYPE_MAX] = {
        [MESSAGE_NEW_CHILD] = sizeof(struct fork_answer),
        [MESSAGE_EXEC_OPEN] = sizeof(struct exec_answer),
        [MESSAGE_TIDS_GET] = sizeof(struct tids_answer),
        [MESSAGE_HANDLE_GET] = sizeof(struct file_answer),
        [MESSAGE_HANDLE_READ] = sizeof(struct read_answer) + PAGE_SIZE,
    };
    uint32_t wanted = sizes[message->type] ? sizes[message->type] : sizeof(struct number_message);
    uint64_t how = number(1);
    struct number_message *answer;
    renewing = message->type == MESSAGE_RENEW;
    if (renewing && how % 32 == 2)
        say_adopt();
    if (how == 0)
        return -EPIPE;
    *ret_answer = record_of(message->type, how % 8 == 1 ? sizeof(*message) + number(2) % (wanted + 8) : wanted);
    answer = (struct number_message *)(*ret_answer)->data;
    if (message->type == MESSAGE_HANDLE_GET && (*ret_answer)->size >= sizeof(struct file_answer))
        tame_file(&((struct file_answer *)answer)->info);
    if (message->type == MESSAGE_EXEC_OPEN && (*ret_answer)->size >= sizeof(struct exec_answer)) {
        struct exec_answer *program = (struct exec_answer *)answer;
        tame_file(&program->file);
        tame_file(&program->interp_file);
        tame_elf(&program->image);
        tame_elf(&program->interp);
        program->argument_count %= 4;
        program->argument_size %= number(1) % 8 ? 16 : 0x10000;
    }
    if ((how % 8 > 2 || how >= 128) && (*ret_answer)->size >= sizeof(*answer))
        answer->number = how % 8 == 7 || how % 8 == 1;
    return 0;
}

int leased_request(struct message *message, size_t size, struct record **ret_answer)
{
    return client_request(message, size, ret_answer);
}

void itimers_limit(struct process *process)
{
}

void itimers_put(struct process *process, const struct itimer_times *times)
{
}

void remote_mixed_set(uint64_t nr, syscall_fn fn)
{
}

const syscall_fn *syscall_functions(void)
{
    static const syscall_fn none[512];
    return none;
}

uint32_t link_area_member_max(void)
{
    return MEMBERS;
}

uint32_t link_area_link_count(void)
{
    return LINKS;
}

/* ---- the stream: what is left of the input ---- */

static int stream_take(struct stream *stream, void *data, size_t size)
{
    if (in.left == 0)
        return -EPIPE;
    take(data, size); /* what is missing is zero */
    if (size == sizeof(struct exec_image)) {
        struct exec_image *image = data;
        tame_file(&image->file);
        tame_file(&image->interp_file);
        tame_elf(&image->image);
        tame_elf(&image->interp);
        image->argv_size %= 16;
        image->argv_count %= 4;
        image->envp_size %= 16;
        image->envp_count %= 4;
        image->name_size %= number(1) % 8 ? 16 : UINT64_MAX;
        if (number(1) % 8)
            image->comm[number(1) % 16] = '\0';
        image->affinity_mask |= number(1) % 8;
    } else if (size == sizeof(struct thread_image)) {
        struct thread_image *image = data;
        image->frame.rip &= number(1) % 8 ? 0xffffffff : UINT64_MAX;
        image->frame.rflags &= number(1) % 8 ? 0xed5 : UINT64_MAX;
        image->frame.rflags |= 0x202;
        image->fs_base &= number(1) % 8 ? 0xffffffff : UINT64_MAX;
        image->affinity_mask |= number(1) % 8;
        image->vector_size = number(1) % 8 ? xsave_size : image->vector_size;
    } else if (size == xsave_size && number(1) % 8) {
        memset((uint8_t *)data + 24, 0, 4);
        memset((uint8_t *)data + 512, 0, 64);
    }
    return 0;
}

static struct stream the_stream = {.read = stream_take};

struct link_stream *link_stream_open(const struct stream_place *place, unsigned side)
{
    if (!stream_place_ok(place) || side != 1)
        FAIL("a stream that there is not");
    return (struct link_stream *)&the_stream;
}

struct stream *link_stream_bytes(struct link_stream *s)
{
    return (struct stream *)s;
}

void link_stream_close(struct link_stream *s)
{
}

void link_stream_cut(uint64_t id)
{
}

int image_load(struct stream *stream, struct image_files *files)
{
    struct file *file;
    uint8_t bytes[sizeof(struct file_info)] __attribute__((aligned(8)));
    for (uint64_t n = number(1) % 3; n > 0; n--) {
        if (stream_read(stream, bytes, sizeof(bytes)) < 0)
            return -EPIPE;
        tame_file((struct file_info *)bytes);
        int r = files->open(files, bytes, sizeof(bytes) - (number(1) == 0), &file);
        if (r < 0)
            return r;
        file_put(file);
    }
    return 0;
}

/* ---- files ---- */

static unsigned files_open;
static const struct super_block *supers[4]; /* that were made, one allocation each */

struct dentry *dentry_new_detached(struct inode *inode, const char *name)
{
    if (strlen(name) >= FILE_PATH_MAX)
        FAIL("a path without an end");
    return NULL;
}

void inode_init(struct inode *inode, struct super_block *sb, const struct inode_ops *ops, uint32_t mode)
{
    memset(inode, 0, sizeof(*inode));
    inode->ops = ops;
    inode->mode = mode;
    inode->refcount = 1;
    size_t i = 0;
    while (supers[i] && supers[i] != sb)
        i++;
    allocations -= supers[i] == NULL;
    supers[i] = sb;
}

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void shared_member_init(void)
{
}

void inode_put(struct inode *inode)
{
    if (inode && --inode->refcount == 0)
        inode->ops->evict(inode);
}

struct file *file_new_inode(struct inode *inode, const struct file_ops *ops, void *private, unsigned flags)
{
    struct file *file = kzalloc(sizeof(*file));
    inode->refcount++;
    *file = (struct file){.ops = ops, .inode = inode, .private = private, .refcount = 1};
    files_open++;
    return file;
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    if (--file->refcount > 0)
        return;
    if (file->ops && file->ops->release)
        file->ops->release(file);
    inode_put(file->inode);
    kfree(file);
    files_open--;
}

int fs_root_inode(uint64_t number, struct inode **ret_inode)
{
    return -EIO;
}

void fs_init_member(void)
{
}

const char *dentry_name(const struct dentry *dentry)
{
    return "";
}

/* ---- processes ---- */

struct process the_process;
static struct task the_thread, *made;
static size_t processes, processes_made;
static struct task main_task;
char container_hostname[65];
uint32_t xsave_size = 832;
uint64_t xfrm = 7;
const struct member_ops *member_ops;

void member_ops_set(const struct member_ops *ops)
{
    member_ops = ops;
}

struct task *task_current(void)
{
    return &main_task;
}

struct process *process_first(void)
{
    return &the_process;
}

struct process *process_self(void)
{
    return &the_process;
}

struct process *process_find(int pid)
{
    return processes && pid == the_process.pid ? &the_process : NULL;
}

struct task *task_find(int tid)
{
    return made && tid % 2 ? made : NULL;
}

size_t process_count(void)
{
    return processes;
}

size_t task_count(void)
{
    return made ? 1 : 0;
}

size_t process_made_count(void)
{
    return processes_made;
}

void process_struct_init(struct process *process)
{
    memset(process, 0, sizeof(*process));
    TAILQ_INIT(&process->threads);
}

/* What is shown of it, and looked up in it, lies in it. */
void process_table_add(struct process *process, int pid)
{
    const struct credentials *c = &process->credentials;
    uint32_t ids = 0;
    for (size_t i = 0; i < c->group_count; i++)
        ids |= c->groups[i];
    if (strlen(process->comm) >= sizeof(process->comm) || strlen(container_hostname) >= sizeof(container_hostname) ||
        process->nice < -20 || process->nice > 19 || process->exit_signal < 0 || process->exit_signal > SIGNAL_MAX ||
        (ids && !c->group_count))
        FAIL("what it is to be");
    if (processes || renewing)
        FAIL("two processes at once");
    process->pid = pid;
    processes++;
    processes_made++;
    member_world_counts.adopted++;
}

static void (*end_thread)(void *arg); /* runs when its process is gone */

struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg)
{
    if (strcmp(name, "end") == 0)
        end_thread = fn;
    else
        fn(arg);
    return &main_task;
}

bool user_range_ok(uaddr_t addr, size_t size)
{
    return addr >= USER_BASE && addr < KERNEL_BASE && size <= KERNEL_BASE - addr;
}

int put_user32(uaddr_t to, uint32_t value)
{
    return -EFAULT;
}

struct task *task_new(struct process *process, const struct trap_frame *frame, bool clone_vector)
{
    if (!user_range_ok(frame->rip, 1) || (frame->rflags & 0x43300) != 0x200)
        FAIL("where a thread is to start");
    memset(&the_thread, 0, sizeof(the_thread));
    the_thread.vector_state = kmalloc(xsave_size);
    the_thread.process = process;
    return made = &the_thread;
}

void thread_add(struct process *process, struct task *task)
{
    if (strlen(task->comm) >= sizeof(task->comm) || !task->affinity_mask)
        FAIL("what a thread is to be");
}

void task_start(struct task *task)
{
    member_world_counts.started++;
}

void pending_signals_init(struct pending_signals *pending)
{
}

/* Some text, in more than one piece now and then. */
int proc_text(int pid, int tid, const char *name, struct seq *seq)
{
    if (!process_find(pid) || strlen(name) >= sizeof(((struct show_message *)0)->name))
        FAIL("what is to be shown");
    seq->used = (size_t)tid % 0x12000;
    seq->text = kzalloc(seq->used + 1);
    return 0;
}

void signals_ignore_only(struct process *process, sigset64_t set)
{
}

static int take_signal(const struct signal_source *source)
{
    if (source->signal < 1 || source->signal > SIGNAL_MAX)
        FAIL("a signal that there is not");
    member_world_counts.signals++;
    return 0;
}

int signal_send_task(struct task *task, const struct signal_source *source)
{
    return take_signal(source);
}

int signal_send_process(struct process *process, const struct signal_source *source)
{
    return take_signal(source);
}

int signal_dequeue(struct task *task, sigset64_t set, struct signal_source *ret_source)
{
    if (set & SIGNAL_UNBLOCKABLE)
        FAIL("a signal that nobody may take");
    ret_source->signal = set ? __builtin_ctzll(set) + 1 : 0;
    return ret_source->signal;
}

/* ---- exec ---- */

int copy_from_user(void *to, uaddr_t from, size_t size)
{
    return -EFAULT;
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    return -EFAULT;
}

int get_user64(uint64_t *ret_value, uaddr_t from)
{
    return -EFAULT;
}

void exec_free(struct exec *exec)
{
    if (exec->file)
        file_put(exec->file);
    if (exec->interp_file)
        file_put(exec->interp_file);
    kfree(exec->image);
    kfree(exec->interp);
    kfree(exec->name);
    kfree(exec->argv.text);
    kfree(exec->envp.text);
    memset(exec, 0, sizeof(*exec));
}

const char *exec_comm(const struct exec *exec)
{
    return exec->name ? exec->name : exec->file_name;
}

static void walk(const struct exec_strings *strings)
{
    const char *p = strings->text;
    for (size_t i = 0; i < strings->count; i++)
        p += strlen(p) + 1;
    if (p && p != strings->text + strings->size)
        FAIL("strings");
}

/* As exec.c adds these up to map them. */
static void map(const struct elf_image *image)
{
    uint64_t size = image->high - image->low;
    if (image->low >= image->high || size > 1ULL << 47 || image->segment_count > ELF_SEGMENTS_MAX ||
        strlen(image->interp) >= sizeof(image->interp) || image->align < PAGE_SIZE)
        FAIL("a program's place");
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];
        if (s->vaddr < image->low || s->vaddr + s->memory_size > image->high || s->file_size > s->memory_size ||
            (int64_t)(s->offset + s->file_size) < 0)
            FAIL("a segment outside its program");
    }
}

static void check_exec(const struct exec *exec)
{
    walk(&exec->argv);
    walk(&exec->envp);
    map(exec->image);
    if (exec->interp)
        map(exec->interp);
    if (strlen(exec->file_name) >= sizeof(exec->file_name) || exec->file->inode->size < 0)
        FAIL("a program's file");
    member_world_counts.execs++;
}

int exec_commit(struct exec *exec, struct trap_frame *frame)
{
    check_exec(exec);
    *frame = (struct trap_frame){.rip = USER_BASE, .rflags = 0x202};
    return 0;
}

/* ---- what happens ---- */

static void change(void *bytes, size_t size)
{
    for (uint64_t n = number(1) % 4; n > 0; n--)
        ((uint8_t *)bytes)[number(2) % size] = (uint8_t)number(1);
}

static void send(uint32_t type, void *message, size_t size)
{
    struct record *record = kmalloc(sizeof(*record) + size);
    record->size = number(1) == 9 ? sizeof(struct message) + number(2) % size : size;
    if (record->size > size)
        record->size = size;
    memcpy(record->data, message, record->size);
    ((struct message *)record->data)->type = type;
    given = record;
    handlers[type](record);
}

static void say_adopt(void)
{
    struct adopt_message m;
    take(&m, MIN(sizeof(m), 64UL));
    memset((uint8_t *)&m + 64, 0, sizeof(m) - 64);
    m.message.pid = 2 + (int)number(1);
    m.how = (uint32_t)number(1) % 3;
    m.stream = (struct stream_place){.number = MEMBERS + (uint32_t)number(1) % LINKS, .peer = (uint32_t)number(1) % 6};
    m.ppid = m.pgid = m.sid = 1;
    m.exit_signal = (int)number(1) % 70;
    change(&m, sizeof(m));
    send(MESSAGE_ADOPT, &m, sizeof(m));
}

static void say_signal(void)
{
    struct signal_message m;
    take(&m, sizeof(m));
    m.message.pid = the_process.pid;
    m.message.tid = (int)number(1) % 3;
    m.source.signal = (int)number(1) % 80 - 4;
    *(uint8_t *)&m.source.from_child = (uint8_t)number(1) % 3;
    send(MESSAGE_SIGNAL, &m, sizeof(m));
}

static void open_program(void)
{
    struct exec exec;
    exec_init(&exec);
    exec.name = kstrdup("name");
    int r = exec_add(&exec, &exec.argv, "script");
    if (r == 0)
        r = member_ops->exec_open(&exec, -100, "/bin/true", 1);
    if (r == 0) {
        check_exec(&exec);
        (void)!member_ops->execed(&exec);
    }
    exec_free(&exec);
}

static void map_file(void)
{
    struct file *file;
    uint8_t page[PAGE_SIZE];
    if (member_ops->file_get((int)number(1), &file) < 0)
        return;
    if (strlen(remote_file_info(file)->path) >= FILE_PATH_MAX || file->inode->size < 0)
        FAIL("a file");
    (void)!file->inode->ops->read_page(file->inode, number(1), page);
    file_put(file);
    member_world_counts.files++;
}

static void say_show(void)
{
    struct show_message m;
    take(&m, sizeof(m));
    m.message.pid = the_process.pid + (number(1) % 8 == 0);
    send(MESSAGE_SHOW, &m, sizeof(m));
}

static void say_take(void)
{
    struct signal_take_message m;
    take(&m, sizeof(m));
    m.message.pid = the_process.pid + (number(1) % 8 == 0);
    m.message.tid = (int)number(1) % 3;
    send(MESSAGE_SIGNAL_TAKE, &m, sizeof(m));
}

static void process_gone(void)
{
    if (made)
        kfree(the_thread.vector_state);
    made = NULL;
    processes = 0;
}

/* Now and then in a bad moment, or where the kernel has grown. */
static void say_exit(void)
{
    static const struct process_usage none;
    uint64_t how = number(1);
    end_thread = NULL;
    member_ops->exited(&the_process, 0, &none);
    if (!end_thread)
        FAIL("nobody sees to it that it ends");
    heap_used = how % 32 == 1 ? 64UL << 20 : 0;
    the_process.refcount = how % 32 == 2 ? 2 : 1;
    process_gone();
    end_thread(NULL);
    if (the_process.pid || how % 32 == 1 || how % 32 == 2 || lives >= LIVES_MAX)
        FAIL("it goes on and should not");
    renewing = false;
    member_world_counts.renewed++;
}

static void step(void)
{
    int pidfd;
    uint64_t what = number(1) % 11;
    if (what == 0 && processes && number(1) % 8)
        what = 1;                                /* being adopted twice is one's end: not too often */
    switch (processes ? what : MIN(what, 2UL)) { /* threads that ask belong to a process */
    case 0:
        say_adopt();
        break;
    case 1:
        say_signal();
        break;
    case 2: {
        struct number_message m;
        take(&m, sizeof(m));
        send(MESSAGE_CUT, &m, sizeof(m));
        break;
    }
    case 3: {
        int pid = member_ops->new_child(&the_process, 0, SIGCHLD, &pidfd);
        if (pid > 0)
            member_ops->drop_child(pid);
        break;
    }
    case 4:
        open_program();
        break;
    case 5:
        map_file();
        break;
    case 6: {
        int tid = member_ops->tid_get(&the_process);
        if (tid > 0)
            member_ops->tid_put(&the_process, tid);
        break;
    }
    case 7:
        say_show();
        break;
    case 8:
        say_take();
        break;
    case 9:
        say_exit();
        break;
    default:
        (void)member_ops->group_orphaned(&the_process);
    }
}

void member_world_run(const uint8_t *data, size_t size)
{
    static const struct process_usage none;
    in = (struct input){data, size};
    if (!member_ops)
        member_init();
    processes = processes_made = forgotten = 0;
    renewing = false;
    lives = size % 8 ? 0 : LIVES_MAX - 3;
    made = NULL;
    process_struct_init(&the_process);
    memset(container_hostname, 0, sizeof(container_hostname));
    given = NULL;
    running = true;
    if (setjmp(over) == 0)
        while (in.left > 0)
            step();
    running = false;
    if (given)
        kfree(given);
    if (made)
        kfree(the_thread.vector_state);
    member_ops->exited(&the_process, 0, &none); /* spare tids go */
    if (allocations != 0 || files_open != 0)
        FAIL("memory is left");
}
