/* The init enclave says anything about shared pages (contract in shared_member_world.h). */
#include "shared_member_world.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/vma.h"
#include "kernel/remote/client.h"
#include "kernel/remote/member.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/remote_file.h"
#include "kernel/remote/shared_futex.h"
#include "kernel/remote/shared_member.h"
#include "kernel/remote/shared_message.h"
#include "kernel/sched/task.h"
#include "mm_machine.h"

#define FAIL(text) hosted_abort("hostile init enclave: " text)
#define PAGES 4U
enum { WRITABLE, READ_ONLY, UNMAPPED, FILES };
#define NAME(f) (7 + 3 * (uint64_t)(f))

struct shared_member_world_counts shared_member_world_counts;

/* ---- the input ---- */

static struct input in;

static uint64_t number(size_t bytes)
{
    return input_number(&in, bytes);
}

/* ---- files ---- */

/* Its own are never asked: pages come from the init enclave. */
static int no_page(struct inode *inode, uint64_t index, void *page)
{
    FAIL("a page of its own");
    return -EIO;
}

static int no_write(struct inode *inode, uint64_t index, const void *page)
{
    FAIL("a page of its own");
    return -EIO;
}

static const struct inode_ops inode_ops = {.read_page = no_page, .write_page = no_write};
static struct inode inodes[FILES];
static struct file files[FILES];
static struct file_info infos[FILES];
static uaddr_t places[FILES];

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void inode_put(struct inode *inode)
{
    if (--inode->refcount == 0)
        FAIL("a file that went too early");
}

static size_t file_of(const struct inode *inode)
{
    return (size_t)(inode - inodes);
}

uint64_t remote_file_object(const struct inode *inode)
{
    return inode >= inodes && inode < inodes + FILES ? NAME(file_of(inode)) : 0;
}

struct inode *remote_file_inode(uint64_t object)
{
    for (size_t f = 0; f < FILES; f++)
        if (NAME(f) == object)
            return &inodes[f];
    return NULL;
}

const struct file_info *remote_file_info(const struct file *file)
{
    return &infos[file - files];
}

int remote_file_request(struct message *message, size_t size, struct file **ret_file)
{
    return -ENOSYS;
}

void futex_member_init(void)
{
}

/* ---- what the program must see ---- */

static struct page {
    bool here, writable;
    uint8_t bytes[PAGE_SIZE];
} pages[FILES][PAGES];
static bool granting, refused; /* the message that is being handled */

static void heard_back(const struct shared_page_message *m, size_t size)
{
    size_t f = (m->object - NAME(0)) / 3;
    shared_member_world_counts.backs++;
    if (f >= FILES || m->index >= PAGES || NAME(f) != m->object) {
        if (m->flags & (SHARED_CONTENTS | SHARED_READ))
            FAIL("a page that there is not");
        refused = true;
        return;
    }
    struct page *page = &pages[f][m->index];
    if (m->flags & SHARED_CONTENTS) {
        if (!page->here || !page->writable || size != sizeof(*m) + PAGE_SIZE ||
            memcmp(m->page, page->bytes, PAGE_SIZE) != 0)
            FAIL("what goes back is not the page");
        shared_member_world_counts.contents++;
    } else if (size != sizeof(*m)) {
        FAIL("more than a message");
    }
    if (m->flags == 0 && granting)
        refused = true;
    else if (page->here && page->writable && !(m->flags & (SHARED_CONTENTS | SHARED_NOTHING)))
        FAIL("what was written is lost");
    else if (!(m->flags & SHARED_NOTHING))
        page->here = m->flags & SHARED_READ;
    page->writable = page->writable && page->here && !(m->flags & SHARED_READ);
}

int client_post(struct message *message, size_t size)
{
    const struct shared_get *get = (const struct shared_get *)message;
    if (message->type == MESSAGE_SHARED_BACK)
        heard_back((const struct shared_page_message *)message, size);
    else if (message->type != MESSAGE_SHARED_GET || size != sizeof(*get) || get->handle > FILES || get->index >= PAGES)
        FAIL("a question");
    return 0;
}

void client_drain(void)
{
}

bool client_peer_awake(void)
{
    return true;
}

bool remote_linger_begin(struct linger *linger)
{
    return false;
}

bool remote_linger(struct linger *linger, bool awake)
{
    return false;
}

void remote_linger_end(void)
{
}

static void (*on_polled)(void);

void client_on_polled(void (*fn)(void))
{
    on_polled = fn;
}

static void (*handlers[MESSAGE_TYPE_MAX])(struct record *record);

void client_on_message(uint32_t type, void (*fn)(struct record *record))
{
    handlers[type] = fn;
}

noreturn_fn void member_end(const char *why)
{
    panic("%s", why);
}

/* ---- what comes ---- */

static struct record *given;

static void hear(void)
{
    struct record *record = given;
    given = NULL;
    handlers[((const struct message *)record->data)->type](record);
}

/* Too short: that is the end of the member. As nothing was touched before that, this goes on. */
static void hear_short(void)
{
    struct record *record = given;
    if (!machine_dies(hear))
        FAIL("half a message is believed");
    kfree(record);
    shared_member_world_counts.ended++;
}

static void deliver(const struct shared_page_message *m, size_t size)
{
    size_t needed =
        sizeof(*m) + (m->message.type == MESSAGE_SHARED_GRANT && (m->flags & SHARED_CONTENTS) ? PAGE_SIZE : 0);
    given = kmalloc(sizeof(*given) + size);
    given->size = size;
    memcpy(given->data, m, size);
    refused = false;
    granting = m->message.type == MESSAGE_SHARED_GRANT;
    if (size < needed)
        hear_short();
    else
        hear();
    granting = false;
    shared_member_world_counts.refused += refused;
}

static uint8_t said[sizeof(struct shared_page_message) + PAGE_SIZE] __attribute__((aligned(16)));
static struct shared_page_message *const said_head = (struct shared_page_message *)said;
static uint8_t *const said_page = said + sizeof(struct shared_page_message);

static void granted(void)
{
    const struct shared_page_message *m = said_head;
    size_t f = (m->object - NAME(0)) / 3;
    if (refused || m->result < 0 || f >= FILES || NAME(f) != m->object || m->index >= PAGES)
        return;
    struct page *page = &pages[f][m->index];
    if (m->flags & SHARED_CONTENTS) {
        page->here = true;
        page->writable = m->flags & SHARED_WRITE;
        memcpy(page->bytes, said_page, PAGE_SIZE);
    } else if (page->here && (m->flags & SHARED_WRITE)) {
        page->writable = true;
    }
}

static void init_says_one(void)
{
    uint64_t how = number(1), what = number(1);
    uint32_t type = how & 1 ? MESSAGE_SHARED_TAKE : MESSAGE_SHARED_GRANT;
    *said_head = (struct shared_page_message){.message = {.type = type},
                                              .object = what < 240 ? NAME(what % FILES) : number(8),
                                              .index = how < 240 ? what / 8 % PAGES : number(8),
                                              .flags = (uint32_t)number(1) % 64,
                                              .result = how % 16 == 2 ? -EIO : 0};
    memset(said_page, (int)number(1), PAGE_SIZE);
    if (how % 64 == 62) {
        deliver(said_head, sizeof(struct message) + number(1) % 8);
        return;
    }
    deliver(said_head, sizeof(*said_head) + (said_head->flags & SHARED_CONTENTS ? PAGE_SIZE : 0));
    shared_member_world_counts.takes += type == MESSAGE_SHARED_TAKE;
    shared_member_world_counts.grants += type == MESSAGE_SHARED_GRANT;
    if (type == MESSAGE_SHARED_GRANT)
        granted();
}

/* Some of it comes together, before the program sees any of it. */
static void init_says(void)
{
    for (uint64_t more = number(1) % 8; more < 8; more += 3)
        init_says_one();
    on_polled();
}

/* ---- the one thread ---- */

/* While it waits things come; then it is killed. */
int task_sleep(uint64_t deadline_ns)
{
    if (in.left == 0)
        return -EINTR;
    init_says();
    return 0;
}

void timer_arm_urgent(struct timer *timer, uint64_t deadline_ns)
{
    timer_arm(timer, deadline_ns);
}

static void touch(size_t f, uint64_t i, bool write)
{
    struct page *page = &pages[f][i];
    uint8_t value = (uint8_t)number(1);
    size_t at = number(2) % PAGE_SIZE;
    int r = machine_touch(places[f] + i * PAGE_SIZE + at, write, &value);
    if (r != 0)
        return;
    if (!page->here || (write && !page->writable))
        FAIL("a page that did not come, or not to be written, is used");
    if (write)
        page->bytes[at] = value;
    else if (value != page->bytes[at])
        FAIL("what is read is neither what came nor what was written");
    shared_member_world_counts.touched++;
}

static void step(void)
{
    uint64_t op = number(1), where = number(1);
    size_t f = where % 2 ? READ_ONLY : WRITABLE;
    uint64_t i = where / 2 % PAGES;
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        init_says();
        break;
    case 3:
        machine_pass_time(number(1) * 20000);
        break;
    case 4:
        if (op >= 250)
            shared_give_all(places[f], places[f] + PAGES * PAGE_SIZE);
        break;
    default:
        touch(f, i, f == WRITABLE && where >= 128);
    }
}

static void map_files(void)
{
    for (size_t f = 0; f < FILES; f++) {
        inodes[f] =
            (struct inode){.ops = &inode_ops, .size = PAGES * PAGE_SIZE, .mode = 0100644, .refcount = 2, .nlink = 1};
        files[f] = (struct file){.inode = &inodes[f], .flags = f == READ_ONLY ? O_RDONLY : O_RDWR, .refcount = 1};
        infos[f].handle = f;
        if (f == UNMAPPED)
            continue;
        int64_t r =
            mm_map(0, PAGES * PAGE_SIZE, f == READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, &files[f], 0);
        if (r < 0)
            FAIL("a mapping");
        places[f] = (uaddr_t)r;
    }
}

/* Whatever was asked for is answered at last, and the process ends: all that was written goes back. */
static void end(void)
{
    for (size_t k = 0; k < FILES * PAGES; k++) {
        *said_head = (struct shared_page_message){
            .message = {.type = MESSAGE_SHARED_GRANT}, .object = NAME(k / PAGES), .index = k % PAGES, .result = -EIO};
        deliver(said_head, sizeof(*said_head));
    }
    on_polled();
    mm_reset();
    for (size_t k = 0; k < FILES * PAGES; k++)
        if (pages[k / PAGES][k % PAGES].here)
            FAIL("a page stays");
    for (size_t f = 0; f < FILES; f++)
        if (inodes[f].refcount != 2 || inodes[f].mappings)
            FAIL("a file is still in use");
    machine_pass_time(10000000);
}

void shared_member_world_run(const uint8_t *data, size_t size)
{
    static bool done;
    if (!done) {
        machine_init(true, 64UL << 20);
        shared_member_init();
    }
    done = true;
    in = (struct input){data, size};
    memset(pages, 0, sizeof(pages));
    map_files();
    while (in.left > 0) {
        machine_alone = in.left % 3 != 0; /* other threads run now and then */
        step();
    }
    end();
}
