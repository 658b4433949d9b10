/* Leases and posts (contract in lease_world.h). */
#include "lease_world.h"

#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "hosted_heap.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/post_message.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/posts.h"
#include "lease_kernel.h"

struct lease_world_counts lease_world_counts;

/* ---- what the member's process does, and what it must see ---- */

struct open_file {
    struct world_file *file; /* NULL: the descriptor is free; referenced by its inode */
    file_off_t pos;
};

static struct open_file model[FDS];

static int model_lowest(void)
{
    for (int fd = 0; fd < FDS; fd++)
        if (!model[fd].file && fd != OUTPUT_FD)
            return fd;
    return -1;
}

static void do_open(uint64_t path, unsigned flags)
{
    const uint64_t args[6] = {0, path, flags};
    struct world_file *f = names[path % PATHS];
    int64_t result;
    int expected = f ? model_lowest() : -ENOENT;
    if (f && expected < 0)
        return;
    if (leased_call(__NR_openat, NULL, args, &result)) {
        lease_world_counts.opened_here++;
    } else {
        leased_settle();
        descriptors_begin(DESCRIPTORS_ADDED);
        result = delegate(__NR_openat, args);
        descriptors_end(DESCRIPTORS_ADDED, args, result);
        lease_world_counts.opened_there++;
    }
    if (result != expected)
        FAIL("another descriptor, or none");
    if (result >= 0)
        model[result] = (struct open_file){.file = container_of(inode_get(&f->inode), struct world_file, inode)};
}

static void do_stat(uint64_t path)
{
    const uint64_t args[6] = {0, path};
    const struct world_file *f = names[path % PATHS];
    int64_t result;
    if (leased_call(__NR_newfstatat, NULL, args, &result) &&
        (!f || stat_uid != f->inode.uid || stat_size != (uint64_t)f->inode.size))
        FAIL("other attributes by path");
}

/* Leased files show what is there: it cannot have changed. */
static void do_read(int fd)
{
    const uint64_t args[6] = {(uint64_t)fd, 0, CONTENTS};
    struct open_file *o = &model[fd];
    struct trap_frame frame = {.rdi = (uint64_t)fd};
    int64_t result, expected = o->file->inode.size - o->pos;
    if (!leased_call(__NR_read, &frame, args, &result)) {
        arrive_in_init();
        struct file *file = there[0].files[fd];
        if (!file || file->inode != &o->file->inode || file->pos != o->pos)
            FAIL("a descriptor is not what it was");
        file->pos = o->pos = MAX(o->pos, o->file->inode.size);
        return;
    }
    if (result != MAX(expected, 0L))
        FAIL("another size");
    if (memcmp(was_read, o->file->contents + o->pos, (size_t)result) != 0)
        FAIL("other contents");
    o->pos += result;
    const uint64_t stat_args[6] = {(uint64_t)fd};
    if (leased_call(__NR_fstat, &frame, stat_args, &result) && memcmp(was_read, &o->file->inode.uid, 4) != 0)
        FAIL("other attributes");
}

static void do_close(int fd)
{
    const uint64_t args[6] = {(uint64_t)fd};
    int64_t result;
    if (!leased_call(__NR_close, NULL, args, &result)) {
        assured_closed(fd);
        posted_closed(fd);
        descriptors_begin(DESCRIPTORS_CLOSED);
        posted_flush();
        arrive_in_init();
        result = fd_table_close(&there[0], fd);
        descriptors_end(DESCRIPTORS_CLOSED, args, result);
    }
    if (result != 0)
        FAIL("a descriptor cannot be closed");
    inode_put(&model[fd].file->inode);
    model[fd].file = NULL;
}

/* A call that makes a descriptor in a way that nobody follows. */
static void do_dup(int fd)
{
    int to = model_lowest();
    if (to < 0)
        return;
    leased_settle();
    assured_forget();
    posted_forget();
    descriptors_begin(DESCRIPTORS_CHANGED);
    arrive_in_init();
    there[0].files[to] = file_get(there[0].files[fd]);
    descriptors_end(DESCRIPTORS_CHANGED, NULL, 0);
    model[to] = model[fd];
    inode_get(&model[to].file->inode);
    do_close(to); /* its position would be shared, which the model has not */
}

/* Calls that ask nobody once something was said of the descriptor. */
static void do_assured(uint64_t nr, int fd, uint32_t mode)
{
    const uint64_t args[6] = {(uint64_t)fd, mode};
    struct world_file *f = model[fd].file;
    int64_t result;
    if (leased_call(nr, NULL, args, &result))
        FAIL("a call that no lease is for");
    if (assured_call(nr, args, &result))
        lease_world_counts.assured++;
    else
        result = delegate(nr, args);
    if (result != 0)
        FAIL("a call that succeeds");
    if (nr == __NR_getsockname && name_read != f->socket_name)
        FAIL("another name");
    if (nr == __NR_fchmod)
        f->mode = (f->mode & S_IFMT) | mode;
}

static void check_modes(void)
{
    for (int fd = 0; fd < FDS; fd++)
        if (model[fd].file && model[fd].file->inode.mode != model[fd].file->mode)
            FAIL("a mode is not what it must be");
}

/* PID 1 looks, whatever has been heard so far; or sets the mode itself, after whatever was set before. */
static void look(int fd)
{
    struct world_file *f = model[fd].file;
    if (byte() % 4 == 0) {
        f->mode = (f->mode & S_IFMT) | (0700 + byte() % 8);
        (void)call_of_pid1(__NR_fchmod, f, f->mode & 07777);
    }
    if (call_of_pid1(__NR_fstat, f, 0) < 0 || mode_seen != f->mode)
        FAIL("who looks sees an old mode");
}

/* Another file has it, and nothing happens for a while. */
static void lose_name(const struct world_file *f)
{
    for (uint64_t path = 0; path < PATHS; path++)
        if (names[path] == f)
            (void)call_there(0, __NR_rename, path, 0, 0);
    now += 1ULL << 30;
}

static void do_assured_some(int fd)
{
    uint8_t what = byte();
    if (what % 16 == 2)
        lose_name(model[fd].file);
    for (int i = 0; i < 1 + what / 8 % 6; i++) {
        do_assured(what % 2 ? __NR_getsockname : __NR_fchmod, fd, what % 64 == 0 ? 04755 : 0600 + what % 8);
        if (byte() % 8)
            continue;
        change_seed = byte();
        lease_world_counts.changes++;
        (void)call_there(0, what % 2 ? __NR_shutdown : __NR_fchown, (uint64_t)fd, 0, 0);
    }
    if (byte() % 2)
        return;
    if (byte() % 2)
        look(fd);
    const uint64_t args[6] = {(uint64_t)fd};
    if (delegate(__NR_fstat, args) < 0 || mode_seen != model[fd].file->mode)
        FAIL("a process sees an old mode of its own");
}

/* What connections have from the socket is what it has now, whoever accepts them. */
static void do_accept(int fd)
{
    const uint64_t args[6] = {(uint64_t)fd};
    const struct world_file *f = model[fd].file;
    int64_t result;
    if (leased_call(__NR_accept, NULL, args, &result))
        FAIL("a call that no lease is for");
    if (assured_accept(__NR_accept, args, &result)) {
        lease_world_counts.accepted++;
    } else {
        leased_settle();
        result = delegate(__NR_accept, args);
        lease_world_counts.asked++;
    }
    if ((result == 0) != f->listening)
        FAIL("accepting from what does not listen, or not from what does");
    if (result == 0 && accepted_option != f->option)
        FAIL("a connection has what the socket had before");
}

static const struct {
    uint16_t nr;
    uint32_t command;
} settings[] = {
    {__NR_setsockopt, 0}, {__NR_listen, 0}, {__NR_fcntl, F_SETFL}, {__NR_ioctl, FIONBIO}, {__NR_shutdown, 0}};

/* Somebody sets something of the socket, by a descriptor of the init enclave's. */
static void do_setting(int fd, size_t which)
{
    lease_world_counts.changes++;
    (void)call_there(0, settings[which].nr, (uint64_t)fd, settings[which].command, 0);
}

static void do_accept_some(int fd)
{
    for (int i = byte() % 8; i >= 0; i--) {
        do_accept(fd);
        uint8_t what = byte();
        change_seed = byte();
        if (what % 32 == 1)
            do_setting(fd, what / 32 % ARRAY_COUNT(settings));
        else if (what % 32 == 2)
            leases_end_soon();
    }
}

static void do_write(size_t size)
{
    const uint64_t args[6] = {OUTPUT_FD, output_expected, size};
    struct call_head head = {.nr = __NR_write, .args = {OUTPUT_FD}};
    int64_t result;
    output_expected += (uint8_t)size;
    if (posted_write(args, &result)) {
        lease_world_counts.posted++;
        if (result != (int64_t)size)
            FAIL("a part of it is written");
        return;
    }
    head.wants_post = posted_ask();
    posted_flush();
    const uint64_t other[6] = {OUTPUT_FD, output_expected, 5}; /* another thread's, behind this one */
    if (byte() % 4 == 0 && posted_write(other, &result))
        output_expected += 5;
    arrive_in_init();
    uint8_t bytes[POST_WRITE_MAX + 64];
    if (copy_from_user(bytes, args[1], size) < 0)
        FAIL("user memory");
    if (!output_broken)
        output(bytes, size);
    posts_offer(&members[0], &init_side[0], &head, output_broken ? -EPIPE : (int64_t)size);
    arrive_in_member();
}

static void check(void)
{
    leased_settle();
    posted_flush();
    assured_tell();
    arrive_in_init();
    for (int fd = 0; fd < FDS; fd++) {
        const struct file *file = there[0].files[fd];
        if (fd == OUTPUT_FD)
            continue;
        if ((file != NULL) != (model[fd].file != NULL) || here.files[fd])
            FAIL("a descriptor is not where it must be");
        if (file && (file->inode != &model[fd].file->inode || file->pos != model[fd].pos))
            FAIL("a descriptor is not what it must be");
    }
    check_modes();
    if (!output_broken && output_came != output_expected)
        FAIL("output is missing");
}

/* The second member, or its host process, or whoever it lets speak. */
static void say_anything(struct remote_member *as)
{
    static const uint32_t types[] = {MESSAGE_LEASE_OPENED, MESSAGE_LEASE_DROP, MESSAGE_LEASE_BROKEN, MESSAGE_LEASE_MODE,
                                     MESSAGE_LEASE_SYNCED, MESSAGE_POST,       MESSAGE_POST_DROP};
    union {
        struct message message;
        struct lease_opened_message opened;
        struct lease_number_message number;
        struct lease_mode_message mode;
        struct post_message post;
    } m;
    memset(&m, 0, sizeof(m));
    m.message.type = types[byte() % ARRAY_COUNT(types)];
    m.message.pid = byte() % 4 ? init_side[as->number - 1].pid : byte();
    m.number.number = byte() % 16;
    size_t size = sizeof(m.number);
    if (m.message.type == MESSAGE_LEASE_OPENED) {
        m.opened.fd = (int8_t)byte();
        m.opened.pos = (int8_t)byte();
        m.opened.flags = byte() % 4 ? 0 : byte();
        size = sizeof(m.opened);
    } else if (m.message.type == MESSAGE_LEASE_MODE) {
        m.mode.mode = byte() % 4 ? 0600 : byte() * 64U;
        size = sizeof(m.mode);
    } else if (m.message.type == MESSAGE_POST) {
        size = POST_SIZE(byte() * 17UL % (POST_CREDIT + 1)); /* to nobody: it has no grant */
    }
    if (byte() % 8 == 0)
        size = sizeof(m.message) + byte() % 16;
    lease_world_counts.refused += as->dead;
    if (!as->dead)
        init_handlers[m.message.type](as, record_new(&m, size));
}

static void second_opens(void)
{
    struct call_head head = {.nr = __NR_openat, .lease_era = 1};
    head.args[1] = byte();
    if (members[1].dead || lowest(&there[1]) < 0)
        return;
    uint64_t changes = leases_changes();
    int64_t result = call_there(1, __NR_openat, 0, head.args[1], 0);
    if (result < 0)
        return;
    leases_offer(&members[1], &init_side[1], &head, result, changes);
    second_has_leases = true;
}

/* It says nothing of this one, but may. */
static void second_may_set_modes(void)
{
    struct call_head head = {.nr = __NR_fchmod, .lease_era = 1};
    for (int fd = 0; fd < FDS && !members[1].dead; fd++) {
        const struct file *file = there[1].files[fd];
        head.args[0] = (uint64_t)fd;
        if (!file || file->inode->nlink > 0)
            continue;
        leases_offer(&members[1], &init_side[1], &head, 0, leases_changes());
        second_has_leases = true;
    }
}

static void change(void)
{
    static const uint16_t calls[] = {__NR_unlink, __NR_rename, __NR_chown, __NR_openat, __NR_fchown, __NR_shutdown};
    uint64_t nr = calls[byte() % ARRAY_COUNT(calls)], path = byte() % (2 * FDS);
    change_seed = byte();
    lease_world_counts.changes++;
    (void)call_there(0, nr, path, path, nr == __NR_openat ? O_WRONLY : 0);
}

/* By a descriptor that is open for writing: no call that anybody looks at. */
static void write_to_file(void)
{
    struct world_file *f = names[byte() % PATHS];
    if (!f || f->inode.write_count == 0)
        return;
    set_contents(f, byte());
    f->inode.size = byte() % CONTENTS;
    f->inode.write_count -= byte() % 2;
}

static int some_fd(void)
{
    uint8_t n = byte();
    for (int i = 0; i < FDS; i++)
        if (model[(i + n) % FDS].file)
            return (i + n) % FDS;
    return -1;
}

static void step(void)
{
    int fd;
    switch (byte() % 30) {
    case 27:
    case 28:
    case 29:
        now += 30000000;
        if ((fd = some_fd()) >= 0)
            do_accept_some(fd);
        break;
    case 0:
        if (byte() % 2)
            change();
        break;
    case 1:
        write_to_file();
        break;
    case 2:
        now += 1ULL << (20 + byte() % 20);
        break;
    case 3:
        say_anything(&members[1]);
        break;
    case 4:
        second_opens();
        second_may_set_modes();
        break;
    case 5:
        if ((fd = some_fd()) >= 0)
            do_dup(fd);
        break;
    case 6:
        check();
        break;
    case 7:
        if (byte() % 4 == 0) {
            posted_forget();
            assured_forget();
        }
        leased_end();
        break;
    case 8:
    case 9:
        do_write(1 + byte() * 4UL);
        break;
    case 10:
        arrive_in_init();
        break;
    case 11:
        leases_settle(&init_side[0]);
        break;
    case 12:
    case 13:
    case 14:
        now += 30000000;
        if ((fd = some_fd()) >= 0)
            do_assured_some(fd);
        break;
    default: /* opened, read, closed: most often the same one */
        now += 30000000;
        do_open(byte() % 3 ? 0 : byte(), byte() % 4 ? 0 : O_CLOEXEC | O_NONBLOCK);
        do_stat(byte() % 3 ? 0 : byte());
        if ((fd = some_fd()) >= 0)
            do_read(fd);
        if ((fd = some_fd()) >= 0 && byte() % 8)
            do_close(fd);
    }
}

static void begin(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    calls_begin();
    TAILQ_INIT(&mounts);
    TAILQ_INSERT_TAIL(&mounts, &root_mount, link);
    for (int i = 0; i < 2; i++) {
        init_side[i] = (struct process){.pid = 5 + i, .files = &there[i], .remote = &remotes[i]};
        members[i].dead = false;
    }
    member_side = (struct process){.pid = 5, .leader = &the_task};
    member_side.limits[RLIMIT_NOFILE].rlim_cur = FDS - 2;
    now += 1ULL << 40;
    has_no_more(0);
    output_broken = false;
    output_came = output_expected = 0;
    leases_init();
    posts_init();
    leased_init();
    posted_init();
    for (unsigned i = 0; i < PATHS; i++)
        names[i] = world_file_new((uint8_t)(30 + i), i == 4);
    /* The stream is somewhere in the table, and stays there. */
    there[0].files[OUTPUT_FD] = file_new_inode(&names[4]->inode, &world_file_ops, NULL, O_DIRECT);
    descriptors_forget();
}

static void end(void)
{
    arrive_in_member();
    leased_end();
    posted_forget();
    arrive_in_init();
    drop_queue(&to_member);
    for (int i = 0; i < 2; i++) {
        leases_member_lost(&members[i]);
        posts_member_lost(&members[i]);
        for (int fd = 0; fd < FDS; fd++)
            (void)fd_table_close(&there[i], fd);
    }
    second_has_leases = false;
    for (int fd = 0; fd < FDS; fd++) {
        if (model[fd].file)
            inode_put(&model[fd].file->inode);
        model[fd].file = NULL;
    }
    for (unsigned i = 0; i < PATHS; i++) {
        if (names[i])
            inode_put(&names[i]->inode);
        names[i] = NULL;
    }
    if (output_reserved != 0)
        FAIL("room is never given back");
    if (hosted_alloc_live() != 0)
        FAIL("memory is left");
}

void lease_world_run(const uint8_t *data, size_t size)
{
    begin(data, size);
    while (in.left > 0)
        step();
    check();
    end();
}

/* A piece of the contents of a file: the first one, with its path, or one of those that follow. */
static void send_piece(uint64_t id, const struct world_file *f, size_t offset)
{
    static uint8_t bytes[sizeof(struct lease_message) + LEASE_PATH_MAX + LEASE_PIECE_MAX];
    struct lease_message *m = (struct lease_message *)bytes;
    struct lease_more_message *more = (struct lease_more_message *)bytes;
    size_t size = (size_t)f->inode.size, n = MIN(size - offset, LEASE_PIECE_MAX);
    memset(bytes, 0, sizeof(bytes));
    if (offset == 0) {
        m->message = (struct message){.type = MESSAGE_LEASE, .pid = member_side.pid};
        m->id = id;
        m->era = leased_era();
        m->size = (uint32_t)size;
        m->path_size = 3;
        inode_stat((struct inode *)&f->inode, &m->stat);
        path_text(0, (char *)m->bytes);
        memcpy(m->bytes + m->path_size, f->contents, n);
        n += sizeof(*m) + m->path_size;
    } else {
        *more = (struct lease_more_message){{.type = MESSAGE_LEASE_MORE, .pid = member_side.pid}, id, offset};
        memcpy(more->bytes, f->contents + offset, n);
        n += sizeof(*more);
    }
    member_handlers[m->message.type](record_new(bytes, n));
}

void lease_world_run_mixed(void)
{
    begin(NULL, 0);
    do_open(1, 0); /* which descriptors there are is known after that */
    do_close(some_fd());
    unsigned long opened_here = lease_world_counts.opened_here;
    send_piece(1, names[0], 0);
    send_piece(2, names[1], LEASE_PIECE_MAX);
    send_piece(1, names[0], LEASE_PIECE_MAX);
    do_open(0, 0);
    if (lease_world_counts.opened_here != opened_here + 1)
        FAIL("a lease that is whole is not there");
    do_read(some_fd());
    do_close(some_fd());
    end();
}

/* Until the member accepts by itself, which takes three that it asks for. */
static void accept_until_here(int fd)
{
    now += 1ULL << 40;
    for (int i = 0; i < 3; i++) {
        unsigned long accepted = lease_world_counts.accepted;
        do_accept(fd);
        if (lease_world_counts.accepted != accepted)
            FAIL("a member accepts of what nobody said that it may");
    }
    for (int i = 0; i < 5; i++) {
        unsigned long asked = lease_world_counts.asked;
        do_accept(fd);
        if (lease_world_counts.asked != asked)
            FAIL("a member that may accept asks");
    }
}

void lease_world_run_listener(void)
{
    begin(NULL, 0);
    do_open(0, 0);
    int fd = some_fd();
    change_seed = 1; /* it listens again */
    if (!model[fd].file->listening)
        FAIL("a file that does not listen");
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        accept_until_here(fd);
        do_setting(fd, i);
    }
    accept_until_here(fd);
    leases_end_soon();
    arrive_in_member();
    accept_until_here(fd);
    leases_settle(&init_side[0]);
    accept_until_here(fd);
    do_dup(fd);
    accept_until_here(fd);
    leased_end();
    accept_until_here(fd);
    assured_forget(); /* as before a fork */
    accept_until_here(fd);
    do_close(fd);
    do_open(1, 0);
    if (some_fd() != fd)
        FAIL("another descriptor");
    accept_until_here(fd);
    check();
    end();
}

static size_t more_offset, more_left; /* of what was said last */

/* Messages that only a kernel that is not the measured one would send: what is wrong with them ends the member. */
static void say_to_member(void)
{
    static uint8_t bytes[sizeof(struct lease_message) + LEASE_SIZE_MAX + LEASE_PATH_MAX];
    static const uint32_t types[] = {MESSAGE_LEASE,       MESSAGE_LEASE_MORE,      MESSAGE_LEASE_MORE,
                                     MESSAGE_LEASE_BREAK, MESSAGE_LEASE_ASSURANCE, MESSAGE_LEASE_SYNC,
                                     MESSAGE_POST_GRANT,  MESSAGE_LEASE_LISTENER};
    struct lease_message *m = (struct lease_message *)bytes;
    struct lease_more_message *more = (struct lease_more_message *)bytes;
    struct post_grant_message *g = (struct post_grant_message *)bytes;
    struct lease_assurance_message *a = (struct lease_assurance_message *)bytes;
    size_t size = sizeof(struct lease_number_message);
    memset(bytes, 0, sizeof(*m) + 2 * CONTENTS);
    m->message = (struct message){.type = types[byte() % ARRAY_COUNT(types)], .pid = byte() % 4 ? 5 : byte()};
    if (m->message.type == MESSAGE_LEASE) {
        m->id = byte() % 4;
        m->era = byte() % 4 ? leased_ask() : byte();
        m->path_size = byte() % 8 ? 3 : byte();
        m->size = byte() % (LEASE_SIZE_MAX + 2);
        m->stat.stx_mode = byte() % 16 ? S_IFREG : byte();
        m->stat.stx_size = m->size;
        path_text(byte(), (char *)m->bytes);
        size = sizeof(*m) + m->path_size + MIN(m->size, LEASE_PIECE_MAX) + (byte() % 16 == 0);
        more_offset = MIN(m->size, LEASE_PIECE_MAX);
        more_left = m->size - more_offset;
    } else if (m->message.type == MESSAGE_LEASE_MORE) {
        size_t n = MIN(more_left, LEASE_PIECE_MAX);
        *more = (struct lease_more_message){.message = m->message, .id = byte() % 4, .offset = more_offset};
        more_offset += n;
        more_left -= n;
        if (byte() % 16 == 0)
            more->offset = byte();
        size = sizeof(*more) + (byte() % 16 ? n : byte() % (2 * LEASE_PIECE_MAX));
    } else if (m->message.type == MESSAGE_LEASE_ASSURANCE) {
        *a = (struct lease_assurance_message){.message = m->message, .id = byte() % 4, .fd = byte() % 4};
        a->era = byte() % 4 ? leased_era() : byte();
        a->kind = byte() % 4;
        a->size = byte() % 16 ? 1 : byte();
        size = sizeof(*a);
    } else if (m->message.type == MESSAGE_LEASE_LISTENER) {
        struct lease_listener_message *l = (struct lease_listener_message *)bytes;
        memset(bytes, 0, sizeof(*l));
        *l =
            (struct lease_listener_message){.message = {.type = MESSAGE_LEASE_LISTENER, .pid = byte() % 4 ? 5 : byte()},
                                            .id = byte() % 4,
                                            .fd = byte() % 4};
        l->era = byte() % 4 ? leased_era() : byte();
        size = sizeof(*l) + (byte() % 16 == 1);
    } else if (m->message.type == MESSAGE_POST_GRANT) {
        *g = (struct post_grant_message){.message = m->message, .id = byte(), .fd = byte() % 4, .credit = byte() * 16U};
        size = sizeof(*g);
    }
    if (byte() % 16 == 0)
        size = sizeof(m->message) + byte() % sizeof(*m);
    struct record *record = record_new(bytes, size);
    if (setjmp(over) == 0)
        member_handlers[m->message.type](record);
    else
        kfree(record);
}

void lease_world_run_hostile(const uint8_t *data, size_t size)
{
    int64_t result;
    begin(data, size);
    hostile = true;
    while (in.left > 0) {
        const uint64_t open_args[6] = {0, byte(), 0}, write_args[6] = {byte() % 4, 0, byte()};
        struct trap_frame frame = {.rdi = byte() % FDS};
        const uint64_t fd_args[6] = {frame.rdi};
        int fd = byte() % FDS;
        if (!here.files[fd])
            descriptors_closed(fd);
        say_to_member();
        (void)leased_call(__NR_openat, NULL, open_args, &result);
        (void)leased_call(__NR_read, &frame, fd_args, &result);
        (void)posted_write(write_args, &result);
        (void)assured_call(byte() % 2 ? __NR_fchmod : __NR_getsockname, write_args, &result);
        for (int i = byte() % 4; i > 0; i--)
            (void)assured_accept(__NR_accept, write_args, &result);
        if (byte() % 4 == 0)
            (void)leased_call(__NR_close, NULL, fd_args, &result);
        drop_queue(&to_init);
    }
    assured_forget();
    leased_end();
    posted_forget();
    drop_queue(&to_init);
    hostile = false;
    end();
}
