/* Members that share pages, some of which lie (contract in shared_world.h). */
#include "shared_world.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include "hosted_heap.h"
#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/file.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/process/process.h"
#include "kernel/remote/handle.h"
#include "kernel/remote/server.h"
#include "kernel/remote/shared_futex.h"
#include "kernel/remote/shared_home.h"
#include "kernel/remote/shared_message.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define FAIL(text) hosted_abort("shared pages: " text)
#define PAGES 3U
#define HONEST 3U  /* members 1 to this */
#define MEMBERS 5U /* and the rest lie */

/* Which files there are, and who has a handle for them. */
enum { OPEN_TO_ALL, READ_BY_LIARS, HONEST_ONLY, SLEEPY, FILES }; /* SLEEPY: honest only, and reading it sleeps */

struct shared_world_counts shared_world_counts;

/* ---- the input ---- */

static struct input in;

static uint64_t number(size_t bytes)
{
    return input_number(&in, bytes);
}

/* ---- ends, time ---- */

static uint64_t now = 1;

void printk(enum log_level level, const char *format, ...)
{
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    hosted_abort(file);
    hosted_abort(format);
    __builtin_unreachable();
}

uint64_t time_monotonic_ns(void)
{
    return now;
}

static void time_passes(uint64_t ns)
{
    now += ns;
    timers_run(now);
}

/* ---- files: a page is one word, again and again ---- */

static uint64_t stored[FILES][PAGES], last[FILES][PAGES];
static struct inode inodes[FILES];
static struct file files[FILES][2]; /* for reading, for both */

static size_t file_of(const struct inode *inode)
{
    return (size_t)(inode - inodes);
}

static void page_fill(void *page, uint64_t word)
{
    for (size_t i = 0; i < PAGE_SIZE / 8; i++)
        memcpy((uint8_t *)page + i * 8, &word, 8);
}

static uint64_t page_word(const void *page)
{
    uint64_t word;
    memcpy(&word, page, 8);
    if (memcmp(page, (const uint8_t *)page + 8, PAGE_SIZE - 8) != 0)
        FAIL("a page in two parts");
    return word;
}

static bool held[PAGES]; /* of SLEEPY: may be read and written without sleeping */
static bool closed;      /* of SLEEPY: nobody gets anything */

static bool is_ready(const struct inode *inode, uint64_t index)
{
    return file_of(inode) != SLEEPY || held[index];
}

static int read_page(struct inode *inode, uint64_t index, void *page)
{
    if (index >= PAGES)
        FAIL("a page beyond the end");
    if (!is_ready(inode, index))
        FAIL("a page is read where nothing may sleep");
    page_fill(page, stored[file_of(inode)][index]);
    return 0;
}

static int write_page(struct inode *inode, uint64_t index, const void *page)
{
    uint64_t word;
    if (index >= PAGES)
        FAIL("a page beyond the end");
    if (!is_ready(inode, index))
        FAIL("a page is written where nothing may sleep");
    memcpy(&word, page, 8);
    if (file_of(inode) != OPEN_TO_ALL && page_word(page) > last[file_of(inode)][index])
        FAIL("a page that nobody wrote");
    stored[file_of(inode)][index] = word;
    return 0;
}

static void step(bool home);

static int hold_page(struct inode *inode, uint64_t index, bool write, bool sleep)
{
    if (!held[index] && !sleep && number(1) % 2)
        return -EAGAIN;
    for (uint64_t i = !held[index] && sleep ? number(1) % 8 : 0; i > 0 && in.left > 0; i--)
        step(false);
    held[index] = true;
    return 0;
}

static const struct shared_ops *shared;

static void release_page(struct inode *inode, uint64_t index)
{
    if (shared->lent(inode, index))
        FAIL("the place of a page goes while another has it");
    if (index < PAGES) /* a member may ask for more pages than there are */
        held[index] = false;
}

static const struct inode_ops sleepy_ops = {
    .read_page = read_page, .write_page = write_page, .hold_page = hold_page, .release_page = release_page};
const struct inode_ops mem_regular_ops = {.read_page = read_page, .write_page = write_page};

bool inode_write_sealed(struct inode *inode)
{
    return false;
}

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void inode_put(struct inode *inode)
{
    if (inode && --inode->refcount == 0)
        FAIL("a file that went too early");
}

struct file *file_get(struct file *file)
{
    return file;
}

void file_put(struct file *file)
{
}

int memfd_new(const char *name, file_off_t size, struct file **ret_file)
{
    return -ENOMEM;
}

bool pages_edmm(void)
{
    return true;
}

void shared_ops_set(const struct shared_ops *ops)
{
    shared = ops;
}

/* Nothing is mapped in the init enclave. */
bool shared_page_here(const struct inode *inode, uint64_t index)
{
    return false;
}

int shared_page_yield(struct inode *inode, uint64_t index, bool to_read, void *buf)
{
    return read_page(inode, index, buf);
}

void futex_home_init(void)
{
}

void futex_home_lost(uint32_t member)
{
}

/* ---- members and their processes ---- */

struct parcel {
    TAILQ_ENTRY(parcel) entry;
    size_t size;
    union {
        struct shared_page_message page;
        struct shared_get get;
        uint8_t bytes[sizeof(struct shared_page_message) + PAGE_SIZE];
    };
};
TAILQ_HEAD(parcels, parcel);

struct remote_member {
    struct link link;
    uint32_t number;
    bool killed;
    struct process process;
    struct remote_process remote;
    struct parcels to, from;
    bool sees[FILES][PAGES], writes[FILES][PAGES], asks[FILES][PAGES], late[FILES][PAGES], late_read[FILES][PAGES];
    uint64_t word[FILES][PAGES];
    struct parcel said; /* last, to be said again */
};

static struct remote_member members[MEMBERS + 1];
static void (*handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);
static void (*on_heard)(uint32_t member, uint32_t type);

static bool honest(const struct remote_member *member)
{
    return member->number <= HONEST;
}

uint32_t remote_member_number(const struct remote_member *member)
{
    return member->number;
}

struct link *remote_member_link(struct remote_member *member)
{
    return &member->link;
}

struct remote_member *remote_member_find(uint32_t n)
{
    return n >= 1 && n <= MEMBERS && !members[n].killed ? &members[n] : NULL;
}

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    handlers[type] = fn;
}

void remote_member_on_heard(void (*fn)(uint32_t member, uint32_t type))
{
    on_heard = fn;
}

struct process *remote_process_of(const struct remote_member *member, const struct message *message)
{
    struct remote_member *m = &members[member->number];
    return message->pid == (int)m->number && !m->killed ? &m->process : NULL;
}

/* Handle 1 + n is file n. */
struct file *handle_file(const struct handle_table *table, uint64_t n)
{
    const struct remote_process *remote = container_of(table, struct remote_process, handles);
    const struct remote_member *member = container_of(remote, struct remote_member, remote);
    if (n < 1 || n > FILES || (!honest(member) && n - 1 >= HONEST_ONLY))
        return NULL;
    return &files[n - 1][honest(member) || n - 1 == OPEN_TO_ALL];
}

int handle_add(struct handle_table *table, struct file *file, struct file_info *ret_info)
{
    FAIL("a file that was not made");
    return 0;
}

void remote_answer(struct remote_member *member, const struct message *answer, size_t size)
{
}

void remote_answer_number(struct remote_member *member, const struct message *message, int64_t n)
{
}

void remote_work(struct remote_member *member, struct record *record, remote_work_fn *fn)
{
    fn(member, &member->process, (const struct message *)record->data, record->size);
    kfree(record);
}

/* All that was said is lost with it; the directory hears of it as soon as it can. */
static void gone(struct remote_member *member)
{
    struct parcel *p;
    while ((p = TAILQ_FIRST(&member->to)) != NULL) {
        TAILQ_REMOVE(&member->to, p, entry);
        kfree(p);
    }
    while ((p = TAILQ_FIRST(&member->from)) != NULL) {
        TAILQ_REMOVE(&member->from, p, entry);
        kfree(p);
    }
    memset(member->sees, 0, offsetof(struct remote_member, said) - offsetof(struct remote_member, sees));
    member->killed = true;
    shared_home_lost(member->number);
}

bool spawn_renewing(const struct remote_member *member)
{
    return false;
}

void spawn_kill(struct remote_member *member)
{
    if (honest(member))
        FAIL("somebody who keeps to the protocol is killed");
    shared_world_counts.killed += !member->killed;
    if (!member->killed)
        gone(member);
}

static uint64_t names[FILES];

/* Contents of a file that it has no handle for would be a leak. */
static void look_at(const struct remote_member *member, const struct shared_page_message *m, size_t size)
{
    if (m->message.type != MESSAGE_SHARED_GRANT || m->result < 0)
        return;
    if (m->object == names[SLEEPY] && closed)
        FAIL("a page goes out while its file is closed");
    if (honest(member))
        return;
    if (m->object == names[HONEST_ONLY] || m->object == names[SLEEPY])
        FAIL("a page of somebody else's file");
    if (m->object == names[READ_BY_LIARS] && (m->flags & SHARED_WRITE))
        FAIL("a page to be written, of a file to be read");
}

int link_send(struct link *link, const void *message, size_t size)
{
    struct remote_member *member = container_of(link, struct remote_member, link);
    struct parcel *p = kmalloc(sizeof(*p));
    if (member->killed || size > sizeof(p->bytes))
        FAIL("a message to nobody");
    p->size = size;
    memcpy(p->bytes, message, size);
    look_at(member, &p->page, size);
    TAILQ_INSERT_TAIL(&member->to, p, entry);
    shared_world_counts.messages++;
    return 0;
}

void link_cork(void)
{
}

void link_uncork(void)
{
}

bool link_drained(const struct link *link)
{
    return TAILQ_EMPTY(&container_of(link, struct remote_member, link)->to);
}

/* ---- the home's own tasks: one at a time ---- */

static struct process init_process;

/* What others do meanwhile; then it is killed. */
int task_sleep(uint64_t deadline_ns)
{
    for (unsigned i = 0; i < 8 && in.left > 0; i++)
        step(false);
    time_passes(100000);
    return in.left > 0 ? 0 : -EINTR;
}

static void home_uses(size_t f, uint64_t index, bool write)
{
    if (!shared->may(&inodes[f], index, write)) {
        if (shared->acquire(&files[f][1], index, 0, write) < 0 || !shared->may(&inodes[f], index, write))
            return;
    }
    if (f >= HONEST_ONLY && stored[f][index] != last[f][index])
        FAIL("the home reads what is old");
    if (write)
        stored[f][index] = ++last[f][index];
    shared_world_counts.home++;
}

/* The home changes a page, in two steps between which others go on. */
static void home_changes(uint64_t index)
{
    struct inode *inode = &inodes[SLEEPY];
    shared->call(inode, index); /* ahead of what follows, perhaps */
    if (closed || number(1) % 4 == 0 || !shared->close(inode))
        return;
    closed = true;
    bool mine = shared->may(inode, index, true) || shared->acquire(&files[SLEEPY][1], index, 0, true) == 0;
    uint64_t word = stored[SLEEPY][index];
    for (unsigned i = 0; i < 8 && mine && in.left > 0; i++)
        step(false);
    if (mine && (stored[SLEEPY][index] != word || word != last[SLEEPY][index]))
        FAIL("somebody else writes to a page of a closed file");
    if (mine)
        stored[SLEEPY][index] = ++last[SLEEPY][index];
    closed = false;
    shared->open(inode);
    shared_world_counts.changes += mine;
}

/* ---- threads: there is one, which runs when it pleases ---- */

static void (*thread)(void *arg);

struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg)
{
    thread = fn;
    return task_current();
}

static void thread_runs(void)
{
    void (*fn)(void *) = thread;
    thread = NULL;
    if (fn)
        fn(NULL);
}

struct remote_member *remote_member_get(struct remote_member *member)
{
    return member;
}

void remote_member_put(struct remote_member *member)
{
}

/* ---- who keeps to the protocol ---- */

static void post(struct remote_member *member, const void *message, size_t size)
{
    struct parcel *p = kmalloc(sizeof(*p));
    p->size = size;
    memcpy(p->bytes, message, size);
    TAILQ_INSERT_TAIL(&member->from, p, entry);
}

static void post_back(struct remote_member *member, size_t f, uint64_t index, uint32_t flags)
{
    struct parcel p;
    p.page = (struct shared_page_message){.message = {MESSAGE_SHARED_BACK, 0, (int)member->number, 0},
                                          .object = names[f],
                                          .index = index,
                                          .flags = flags};
    page_fill(p.page.page, member->word[f][index]);
    post(member, p.bytes, sizeof(p.page) + (flags & SHARED_CONTENTS ? PAGE_SIZE : 0));
}

static void answer(struct remote_member *m, size_t f, uint64_t i, bool to_read)
{
    uint32_t flags = SHARED_ASKED;
    if (!m->sees[f][i])
        flags |= SHARED_NOTHING;
    else
        flags |= (to_read ? SHARED_READ : 0) | (m->writes[f][i] ? SHARED_CONTENTS : 0);
    m->writes[f][i] = m->late[f][i] = false;
    m->sees[f][i] &= to_read;
    post_back(m, f, i, flags);
}

static void granted(struct remote_member *m, size_t f, uint64_t i, const struct shared_page_message *message)
{
    shared_world_counts.unasked += !m->asks[f][i];
    m->asks[f][i] = false;
    if (message->result < 0)
        FAIL("a page is refused to who may have it");
    if (message->flags & SHARED_CONTENTS) {
        if (m->sees[f][i])
            FAIL("a page that was there comes again");
        m->sees[f][i] = true;
        m->word[f][i] = page_word(message->page);
        m->writes[f][i] = message->flags & SHARED_WRITE;
    } else if (!m->sees[f][i]) {
        post_back(m, f, i, 0);
    } else {
        m->writes[f][i] |= message->flags & SHARED_WRITE;
    }
}

static void honest_hears(struct remote_member *m, const struct parcel *p, bool at_once)
{
    size_t f = 0;
    uint64_t i = p->page.index;
    while (f < FILES && names[f] != p->page.object)
        f++;
    if (f == FILES || i >= PAGES)
        FAIL("a page that there is not");
    if (p->page.message.type == MESSAGE_SHARED_GRANT) {
        granted(m, f, i, &p->page);
    } else if (m->sees[f][i] && !at_once) {
        if (m->late[f][i])
            FAIL("asked twice");
        m->late[f][i] = true;
        m->late_read[f][i] = p->page.flags & SHARED_READ;
    } else {
        answer(m, f, i, p->page.flags & SHARED_READ);
    }
}

static void honest_acts(struct remote_member *m, size_t f, uint64_t i, bool write)
{
    if (m->sees[f][i]) {
        if (f != OPEN_TO_ALL && m->word[f][i] != last[f][i])
            FAIL("what is read is not what was written last");
        shared_world_counts.reads++;
    }
    if (m->writes[f][i]) {
        m->word[f][i] = ++last[f][i];
        shared_world_counts.writes++;
    } else if (!m->asks[f][i] && (write || !m->sees[f][i])) {
        struct shared_get get = {.message = {MESSAGE_SHARED_GET, 0, (int)m->number, 0},
                                 .handle = 1 + f,
                                 .index = i,
                                 .count = 1 + (uint32_t)number(1) % SHARED_GET_MAX,
                                 .write = write};
        m->asks[f][i] = true;
        post(m, &get, sizeof(get));
    }
}

static void honest_gives(struct remote_member *m, size_t f, uint64_t i)
{
    if (!m->sees[f][i])
        return;
    post_back(m, f, i, (m->writes[f][i] ? SHARED_CONTENTS : 0) | (m->late[f][i] ? SHARED_ASKED : 0));
    m->sees[f][i] = m->writes[f][i] = m->late[f][i] = false;
}

static void one_writer(void)
{
    for (size_t f = 0; f < FILES; f++) {
        for (uint64_t i = 0; i < PAGES; i++) {
            unsigned writers = 0, readers = 0;
            for (uint32_t n = 1; n <= HONEST; n++) {
                writers += members[n].writes[f][i];
                readers += members[n].sees[f][i];
            }
            if (writers > 1 || (writers == 1 && readers > 1))
                FAIL("two who write");
        }
    }
}

/* ---- who does not ---- */

static uint64_t some_object(void)
{
    uint64_t n = number(1);
    return n < 200 ? names[n % FILES] : n < 230 ? n % 8 : number(8);
}

static uint64_t some_index(void)
{
    uint64_t n = number(1);
    return n < 200 ? n % PAGES : n < 240 ? n : number(8);
}

static void lie(struct remote_member *m)
{
    struct parcel *p = &m->said;
    uint64_t how = number(1);
    if (how % 8 == 0 && p->size > 0) {
        post(m, p->bytes, p->size);
        return;
    }
    if (how % 8 < 4) {
        p->get = (struct shared_get){.message = {MESSAGE_SHARED_GET, 0, number(1) < 240 ? (int)m->number : 1, 0},
                                     .handle = number(1) % (FILES + 2),
                                     .index = some_index(),
                                     .count = number(1) % 12,
                                     .write = (uint32_t)number(1) % 2};
        p->size = sizeof(p->get);
    } else {
        p->page = (struct shared_page_message){.message = {MESSAGE_SHARED_BACK, 0, (int)m->number, 0},
                                               .object = some_object(),
                                               .index = some_index(),
                                               .flags = (uint32_t)number(1) % 64};
        page_fill(p->page.page, UINT64_MAX - number(1));
        p->size = sizeof(p->page) + (p->page.flags & SHARED_CONTENTS || number(1) % 4 == 0 ? PAGE_SIZE : 0);
    }
    if (how >= 240)
        p->size = sizeof(struct message) + number(2) % (p->size - sizeof(struct message));
    if (how % 8 == 7 && how < 128)
        p->page.message.type = MESSAGE_SHARED_NEW;
    post(m, p->bytes, p->size);
}

/* Does what it is told, to get further; else it says nothing, or anything. */
static void liar_hears(struct remote_member *m, const struct parcel *p)
{
    struct parcel a;
    if (p->page.message.type != MESSAGE_SHARED_TAKE || number(1) % 4 == 0)
        return;
    a.page = (struct shared_page_message){.message = {MESSAGE_SHARED_BACK, 0, (int)m->number, 0},
                                          .object = p->page.object,
                                          .index = p->page.index,
                                          .flags = SHARED_ASKED | (number(1) % 2 ? SHARED_CONTENTS : 0) |
                                                   (p->page.flags & SHARED_READ)};
    page_fill(a.page.page, UINT64_MAX);
    post(m, a.bytes, sizeof(a.page) + (a.page.flags & SHARED_CONTENTS ? PAGE_SIZE : 0));
}

/* ---- what happens ---- */

static void home_hears(struct remote_member *m)
{
    struct parcel *p = TAILQ_FIRST(&m->from);
    if (!p)
        return;
    TAILQ_REMOVE(&m->from, p, entry);
    struct record *record = kmalloc(sizeof(*record) + p->size); /* no longer than that, for the sanitizer */
    record->size = p->size;
    memcpy(record->data, p->bytes, p->size);
    kfree(p);
    uint32_t type = ((const struct message *)record->data)->type;
    on_heard(m->number, type);
    if (handlers[type])
        handlers[type](m, record);
    else
        kfree(record);
}

static void member_hears(struct remote_member *m, bool at_once)
{
    struct parcel *p = TAILQ_FIRST(&m->to);
    if (!p)
        return;
    TAILQ_REMOVE(&m->to, p, entry);
    if (honest(m))
        honest_hears(m, p, at_once);
    else
        liar_hears(m, p);
    kfree(p);
}

/* The host ends it. What only it had, or had sent on its way, is lost: the page is what it was. */
static void vanish(struct remote_member *m)
{
    struct parcel *p;
    for (size_t k = 0; k < FILES * PAGES; k++)
        if (m->writes[k / PAGES][k % PAGES])
            last[k / PAGES][k % PAGES] = stored[k / PAGES][k % PAGES];
    TAILQ_FOREACH (p, &m->from, entry) {
        if (!honest(m) || p->page.message.type != MESSAGE_SHARED_BACK || !(p->page.flags & SHARED_CONTENTS))
            continue;
        for (size_t f = 0; f < FILES; f++)
            if (names[f] == p->page.object)
                last[f][p->page.index] = stored[f][p->page.index];
    }
    gone(m);
}

static void reborn(struct remote_member *m)
{
    uint32_t n = m->number;
    time_passes(1); /* the timer that tells the directory */
    memset(m, 0, sizeof(*m));
    m->number = n;
    m->process.remote = &m->remote;
    TAILQ_INIT(&m->to);
    TAILQ_INIT(&m->from);
}

static void step(bool home)
{
    uint64_t op = number(1), n = 1 + op / 16 % MEMBERS, f = number(1), i = f / 8 % PAGES;
    struct remote_member *m = &members[n];
    bool write = f >= 128;
    f %= FILES;
    if (m->killed)
        reborn(m);
    switch (op % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        home_hears(m);
        break;
    case 4:
    case 5:
    case 6:
        member_hears(m, write);
        break;
    case 7:
        if (m->late[f][i])
            answer(m, f, i, m->late_read[f][i]);
        break;
    case 8:
        if (honest(m) && write)
            honest_gives(m, f, i);
        else if (home)
            thread_runs();
        break;
    case 9:
        time_passes(number(1) * 20000);
        break;
    case 10:
        if (home && f == SLEEPY && number(1) % 2)
            home_changes(i);
        else if (home)
            home_uses(f, i, write);
        break;
    case 11:
        on_heard((uint32_t)n, !write ? MESSAGE_FUTEX_WAIT : i ? MESSAGE_CALL : MESSAGE_REPLY);
        if (number(1) == 77)
            vanish(m);
        break;
    default:
        if (honest(m))
            honest_acts(m, f, i, write);
        else
            lie(m);
    }
    one_writer();
}

/* Without liars whoever asks is served, if messages and time go on. */
static void settle(void)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (uint32_t n = 1; n <= HONEST; n++) {
            struct remote_member *m = &members[n];
            while (!m->killed && (!TAILQ_EMPTY(&m->to) || !TAILQ_EMPTY(&m->from))) {
                busy = true;
                member_hears(m, true);
                home_hears(m);
            }
            for (size_t k = 0; k < FILES * PAGES && !m->killed; k++) {
                if (!m->late[k / PAGES][k % PAGES])
                    continue;
                busy = true;
                answer(m, k / PAGES, k % PAGES, m->late_read[k / PAGES][k % PAGES]);
            }
        }
        busy |= thread != NULL;
        thread_runs();
        uint64_t next = timers_next_ns();
        if (next != NO_DEADLINE) {
            busy = true;
            time_passes(next > now ? next - now : 1);
        }
        one_writer();
    }
    for (uint32_t n = 1; n <= HONEST; n++)
        for (size_t k = 0; k < FILES * PAGES; k++)
            if (members[n].asks[k / PAGES][k % PAGES])
                FAIL("somebody waits for ever");
}

static void begin(void)
{
    static bool done;
    if (!done)
        shared_home_init();
    done = true;
    task_current()->process = &init_process;
    memset(stored, 0, sizeof(stored));
    memset(last, 0, sizeof(last));
    for (size_t f = 0; f < FILES; f++) {
        inodes[f] = (struct inode){
            .ops = f == SLEEPY ? &sleepy_ops : &mem_regular_ops, .size = PAGES * PAGE_SIZE - 5, .refcount = 1};
        for (size_t w = 0; w < 2; w++)
            files[f][w] = (struct file){.inode = &inodes[f], .flags = w ? O_RDWR : O_RDONLY, .refcount = 1};
        names[f] = shared_home_name(&inodes[f]);
    }
    for (uint32_t n = 1; n <= MEMBERS; n++) {
        members[n].number = n;
        reborn(&members[n]);
    }
}

static void end(void)
{
    uint64_t index;
    for (uint32_t n = HONEST + 1; n <= MEMBERS; n++)
        if (!members[n].killed)
            gone(&members[n]);
    settle();
    for (uint32_t n = 1; n <= HONEST; n++)
        for (size_t k = 0; k < FILES * PAGES; k++)
            honest_gives(&members[n], k / PAGES, k % PAGES);
    settle();
    for (uint64_t i = 0; i < PAGES; i++)
        if (held[i])
            FAIL("the place of a page is kept for nobody");
    for (size_t f = 0; f < FILES; f++) {
        for (uint64_t i = 0; i < PAGES; i++)
            if (f != OPEN_TO_ALL && stored[f][i] != last[f][i])
                FAIL("what was written last is not there");
        if (shared->next(&inodes[f], 0, &index) || inodes[f].refcount != 1)
            FAIL("a page is left");
        shared->evict(&inodes[f]);
    }
    if (hosted_alloc_live() != 0)
        FAIL("memory is left");
}

void shared_world_run(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    begin();
    while (in.left > 0)
        step(true);
    end();
}
