/* Turns (contract in turn.h). */
#include "kernel/remote/turn.h"

#include "kernel/mm/kmalloc.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

/*
 * How long a turn lasts follows from what it costs to begin one: the time in which its enclave waits for pages. When it
 * has had ENOUGH times that for itself, or ENOUGH_NS, the next system call ends the turn, when it has had MOST times
 * that, or MOST_NS, it ends anyway; and it is quiet after as much silence as the next one's beginning will cost. If the
 * last that was heard of it is a system call that has not been answered it mostly waits for somebody who needs a turn
 * himself, and a client that has been answered comes back sooner than after BLOCKED_NS.
 */
#define ENOUGH 12
#define ENOUGH_NS 30000000ULL
#define MOST 16
#define MOST_NS 60000000ULL
#define BLOCKED_NS 400000ULL
#define COST_MIN_NS 300000ULL
#define COST_MAX_NS 5000000ULL
#define SHORT_NS 50000ULL         /* where turns are of no use */
#define UNREACHED_NS 100000000ULL /* so long it may take to be given a CPU by the host */
#define UNUSED_MAX 4
#define TRY_EVERY 64
#define HABIT_PAGES 256
#define WRITTEN_PAGES 512
#define TRUST_MIN 2
#define TRUST_ASKED 4
#define TRUST_MAX 64

/* A take that is put off. */
struct turn_wait {
    TAILQ_ENTRY(turn_wait) entry;
    uint32_t holder, waiter; /* of whom, for whom */
    uint64_t index;
    bool to_read;
};

/*
 * What an enclave gets during its turns. What it asked for in two of them is brought along in the next ones: a table of
 * a database has many pages that it needs only once. Whether it used what was brought along is only known if it changed
 * it: else the page is brought along `heat` times more and then left out once. If it is asked for at once, that was
 * wrong, and it is trusted for longer the next time.
 */
struct habit_page {
    uint64_t index;
    bool write;
    bool brought;  /* and it was not given back since */
    bool left_out; /* until the end of the next turn */
    uint8_t heat, trust;
    uint32_t asked_in; /* the turn in which it was asked for last */
};

struct turn_habit {
    LIST_ENTRY(turn_habit) entry;
    uint32_t enclave;
    int pid; /* who asked last, and by which handle */
    uint64_t handle;
    uint64_t waits_ns; /* for a page, or its turn, since then; or 0 */
    unsigned count, evict;
    uint32_t turn_count;
    struct habit_page pages[HABIT_PAGES];
    unsigned written_count; /* since it was last called home: the last WRITTEN_PAGES of them */
    uint64_t written[WRITTEN_PAGES];
};

static TAILQ_HEAD(, turn) turns = TAILQ_HEAD_INITIALIZER(turns); /* that somebody has */
static struct timer timer;
static const struct turn_ops *ops;

static uint64_t end_of(const struct turn *turn)
{
    return MIN(turn->quiet_ns, turn->limit_ns);
}

static bool over(const struct turn *turn)
{
    return turn->holder != TURN_NOBODY && end_of(turn) <= time_monotonic_ns();
}

static void arm(void)
{
    const struct turn *turn;
    uint64_t next = NO_DEADLINE;
    TAILQ_FOREACH (turn, &turns, entry)
        if (!TAILQ_EMPTY(&turn->waits))
            next = MIN(next, end_of(turn));
    if (next == NO_DEADLINE)
        timer_cancel(&timer);
    else if (!timer.armed || timer.deadline_ns != next)
        timer_arm_urgent(&timer, next);
}

/* ---- habits ---- */

static struct turn_habit *habit_find(const struct turn *turn, uint32_t enclave)
{
    struct turn_habit *habit;
    LIST_FOREACH (habit, &turn->habits, entry)
        if (habit->enclave == enclave)
            break;
    return habit;
}

static struct habit_page *habit_page_find(struct turn_habit *habit, uint64_t index)
{
    for (unsigned i = 0; i < habit->count; i++)
        if (habit->pages[i].index == index)
            return &habit->pages[i];
    return NULL;
}

/* Room for one more: in place of one that is not brought along any more; or, around in order, of any. */
static struct habit_page *habit_page_new(struct turn_habit *habit)
{
    if (habit->count < HABIT_PAGES)
        return &habit->pages[habit->count++];
    for (unsigned i = 0; i < HABIT_PAGES; i++) {
        struct habit_page *page = &habit->pages[++habit->evict % HABIT_PAGES];
        if (page->heat == 0)
            return page;
    }
    return &habit->pages[++habit->evict % HABIT_PAGES];
}

static void habit_asked(struct turn_habit *habit, uint64_t index, bool write)
{
    struct habit_page *page = habit_page_find(habit, index);
    bool known = page != NULL;
    if (!known) {
        page = habit_page_new(habit);
        *page = (struct habit_page){.index = index, .trust = TRUST_ASKED};
    } else if (page->left_out) {
        page->trust = MIN(4 * page->trust, TRUST_MAX);
    }
    page->left_out = false;
    page->write |= write;
    if (known && page->asked_in != habit->turn_count)
        page->heat = page->trust;
    page->asked_in = habit->turn_count;
}

static void habit_brought(struct turn_habit *habit, uint64_t index)
{
    struct habit_page *page = habit_page_find(habit, index);
    if (page)
        page->brought = true;
}

static void habit_unused(struct habit_page *page)
{
    page->brought = false;
    if (page->heat > 0 && --page->heat == 0) {
        page->trust = MAX(page->trust / 2, TRUST_MIN);
        page->left_out = true;
    }
}

static void habit_free(struct turn_habit *habit)
{
    LIST_REMOVE(habit, entry);
    kfree(habit);
}

static void habit_written(struct turn_habit *habit, uint64_t index)
{
    habit->written[habit->written_count++ % WRITTEN_PAGES] = index;
}

/* What it may write to, if it still has it, is on its way before somebody asks. */
static void call_home(struct turn *turn, struct turn_habit *habit)
{
    for (unsigned i = 0; i < MIN(habit->written_count, WRITTEN_PAGES); i++)
        ops->recall(turn, habit->enclave, habit->written[i]);
    habit->written_count = 0;
}

static void habit_turn_over(struct turn *turn)
{
    struct turn_habit *habit = habit_find(turn, turn->holder);
    if (!habit)
        return;
    for (unsigned i = 0; i < habit->count; i++)
        habit->pages[i].left_out = false;
    if (!TAILQ_EMPTY(&turn->waits))
        call_home(turn, habit);
}

static void send_wait(struct turn *turn, struct turn_wait *wait)
{
    TAILQ_REMOVE(&turn->waits, wait, entry);
    ops->take(turn, wait->index, wait->holder, wait->to_read);
    kfree(wait);
}

/* Takes of this page from others, or also from who has the turn, are put off no longer. */
static void hurry(struct turn *turn, uint64_t index, bool all)
{
    struct turn_wait *wait, *next;
    TAILQ_FOREACH_SAFE (wait, &turn->waits, entry, next)
        if (wait->index == index && (all || wait->holder != turn->holder))
            send_wait(turn, wait);
}

static void bring_along(struct turn *turn)
{
    struct turn_habit *habit = habit_find(turn, turn->holder);
    for (unsigned i = 0; habit && i < habit->count; i++) {
        const struct habit_page *page = &habit->pages[i];
        if (page->heat == 0)
            continue;
        ops->expect(turn, turn->holder, habit->pid, habit->handle, page->index, page->write);
        hurry(turn, page->index, false);
    }
}

/* ---- turns ---- */

static uint64_t cost(const struct turn *turn)
{
    return MIN(MAX(turn->waited_ns, COST_MIN_NS), COST_MAX_NS);
}

/* While it waits for a page it is the others who are slow. */
static void set_ends(struct turn *turn, uint64_t quiet_ns)
{
    uint64_t now = time_monotonic_ns(), cost_ns = turn->asked_ns ? COST_MAX_NS : cost(turn);
    turn->limit_ns = turn->began_ns + cost_ns + MIN(MOST * cost_ns, MOST_NS);
    turn->quiet_ns = now + (turn->asked_ns ? COST_MAX_NS : quiet_ns);
}

static void begin(struct turn *turn, uint32_t holder)
{
    if (turn->holder == TURN_NOBODY)
        TAILQ_INSERT_TAIL(&turns, turn, entry);
    turn->holder = holder;
    turn->began_ns = turn->asked_ns = time_monotonic_ns();
    turn->waited_ns = 0;
    set_ends(turn, 0);
    struct turn_habit *habit = habit_find(turn, holder);
    if (habit) {
        habit->waits_ns = 0;
        habit->turn_count++;
    }
    turn->used = turn->asleep = turn->cut_short = false;
}

static void drop(struct turn *turn)
{
    TAILQ_REMOVE(&turns, turn, entry);
    turn->holder = TURN_NOBODY;
}

static struct turn_wait *wait_of(const struct turn *turn, uint32_t enclave)
{
    struct turn_wait *wait;
    TAILQ_FOREACH (wait, &turn->waits, entry)
        if (wait->waiter == enclave && enclave != turn->holder)
            break;
    return wait;
}

/*
 * Whose turn is next. Who was cut short may hold a lock that the one after it came to wait for, as all others would,
 * one after the other: so it goes on.
 *
 * A take may have been put off only now whose enclave has waited for long: as pages move others come to be in its
 * way.
 */
static struct turn_wait *next_wait(const struct turn *turn)
{
    struct turn_wait *wait, *longest = NULL;
    uint64_t since = 0;
    if (!turn->cut_short && (wait = wait_of(turn, turn->cut_off)) != NULL)
        return wait;
    TAILQ_FOREACH (wait, &turn->waits, entry) {
        const struct turn_habit *habit = habit_find(turn, wait->waiter);
        uint64_t ns = habit ? habit->waits_ns : 0;
        if (!longest || ns < since) {
            longest = wait;
            since = ns;
        }
    }
    return longest;
}

/* It goes to somebody who waits, if there is one; what that one waits for is asked for. */
static void end(struct turn *turn)
{
    struct turn_wait *wait = next_wait(turn), *next;
    turn->cut_off = turn->cut_short ? turn->holder : TURN_NOBODY;
    turn->unused_count = turn->used ? 0 : turn->unused_count + 1;
    ops->hold(turn);
    habit_turn_over(turn);
    if (!wait) {
        drop(turn);
        ops->release(turn);
        return;
    }
    begin(turn, wait->waiter);
    bring_along(turn);
    TAILQ_FOREACH_SAFE (wait, &turn->waits, entry, next)
        if (wait->waiter == turn->holder)
            send_wait(turn, wait);
    ops->release(turn);
}

/* Who was not given a CPU meanwhile is not quiet. */
static bool wait_longer(struct turn *turn)
{
    uint64_t now = time_monotonic_ns();
    if (now - turn->began_ns > UNREACHED_NS || turn->asleep || ops->reached(turn, turn->holder))
        return false;
    turn->quiet_ns = now + COST_MAX_NS;
    turn->limit_ns = MAX(turn->limit_ns, turn->quiet_ns);
    return true;
}

static struct turn *first_over(void)
{
    struct turn *turn;
    TAILQ_FOREACH (turn, &turns, entry)
        if (over(turn) && !wait_longer(turn))
            break;
    return turn;
}

/* Who is sent something may be found dead, and files go with it: so this begins anew each time. */
static void end_all(struct timer *t)
{
    struct turn *turn;
    (void)t;
    while ((turn = first_over()) != NULL)
        end(turn);
    arm();
}

void turn_start(const struct turn_ops *with)
{
    ops = with;
    timer_init(&timer, end_all);
}

void turn_init(struct turn *turn)
{
    *turn = (struct turn){.holder = TURN_NOBODY};
    TAILQ_INIT(&turn->waits);
    LIST_INIT(&turn->habits);
}

void turn_deinit(struct turn *turn)
{
    struct turn_wait *wait;
    struct turn_habit *habit;
    while ((wait = TAILQ_FIRST(&turn->waits)) != NULL) {
        TAILQ_REMOVE(&turn->waits, wait, entry);
        kfree(wait);
    }
    while ((habit = LIST_FIRST(&turn->habits)) != NULL)
        habit_free(habit);
    if (turn->holder != TURN_NOBODY)
        drop(turn);
    arm();
}

bool turn_put_off(struct turn *turn, uint64_t index, uint32_t holder, uint32_t waiter, bool to_read)
{
    if (waiter == TURN_NOBODY)
        return false;
    if (turn->holder == TURN_NOBODY || (over(turn) && TAILQ_EMPTY(&turn->waits))) {
        habit_turn_over(turn);
        turn->cut_off = TURN_NOBODY;
        begin(turn, waiter);
    }
    if (turn->holder == waiter)
        return false;
    struct turn_wait *wait = kmalloc(sizeof(*wait));
    if (!wait)
        return false;
    *wait = (struct turn_wait){.holder = holder, .waiter = waiter, .index = index, .to_read = to_read};
    TAILQ_INSERT_TAIL(&turn->waits, wait, entry);
    arm();
    return true;
}

bool turn_is_of(const struct turn *turn, uint32_t enclave)
{
    return turn->holder == enclave && enclave != TURN_NOBODY && !over(turn);
}

static void goes_on(struct turn *turn, bool brought)
{
    bool short_one = turn->unused_count >= UNUSED_MAX && ++turn->tried_count % TRY_EVERY != 0;
    uint64_t now = time_monotonic_ns();
    if (brought) {
        turn->waited_ns = MAX(turn->waited_ns, now - turn->began_ns);
    } else if (turn->asked_ns) {
        turn->waited_ns += now - MIN(now, MAX(turn->asked_ns, turn->began_ns + turn->waited_ns));
        turn->asked_ns = 0;
    }
    set_ends(turn, short_one ? SHORT_NS : cost(turn));
}

void turn_asks(struct turn *turn, uint32_t enclave, int pid, uint64_t handle)
{
    struct turn_habit *habit = habit_find(turn, enclave);
    if (!habit && (habit = kzalloc(sizeof(*habit))) != NULL) {
        habit->enclave = enclave;
        LIST_INSERT_HEAD(&turn->habits, habit, entry);
    }
    if (habit) {
        habit->pid = pid;
        habit->handle = handle;
        if (habit->waits_ns == 0 && turn->holder != enclave)
            habit->waits_ns = time_monotonic_ns();
    }
    if (!turn_is_of(turn, enclave))
        return;
    turn->used = true;
    turn->asked_ns = time_monotonic_ns();
    set_ends(turn, 0);
    arm();
}

void turn_waits(struct turn *turn, uint32_t enclave, uint64_t index)
{
    if (turn_is_of(turn, enclave))
        hurry(turn, index, true);
}

void turn_granted(struct turn *turn, uint32_t enclave, uint64_t index, bool write, bool brought)
{
    struct turn_habit *habit = habit_find(turn, enclave);
    if (habit && !brought)
        habit->waits_ns = 0;
    if (habit && write)
        habit_written(habit, index);
    if (!turn_is_of(turn, enclave))
        return;
    if (habit && !brought)
        habit_asked(habit, index, write);
    else if (habit)
        habit_brought(habit, index);
    goes_on(turn, brought);
    arm();
}

void turn_returned(struct turn *turn, uint32_t enclave, uint64_t index, bool changed)
{
    struct turn_habit *habit = habit_find(turn, enclave);
    struct habit_page *page = habit ? habit_page_find(habit, index) : NULL;
    if (!page || !page->brought)
        return;
    if (changed) {
        page->brought = false;
        page->heat = page->trust;
    } else {
        habit_unused(page);
    }
}

static void heard(struct turn *turn, enum turn_event event)
{
    uint64_t now = time_monotonic_ns();
    bool called = event == TURN_CALLED || event == TURN_WAKES;
    bool enough = now - turn->began_ns > cost(turn) + MIN(ENOUGH * cost(turn), ENOUGH_NS);
    turn->used |= called;
    turn->cut_short = called && enough;
    turn->asleep = event == TURN_SLEEPS || turn->cut_short;
    set_ends(turn, event == TURN_CALLED ? MIN(cost(turn), BLOCKED_NS) : cost(turn));
    if (turn->asleep)
        turn->quiet_ns = now;
}

void turn_heard(uint32_t enclave, enum turn_event event)
{
    struct turn *turn;
    bool any = false;
    if (likely(TAILQ_EMPTY(&turns)))
        return;
    TAILQ_FOREACH (turn, &turns, entry) {
        if (turn->holder != enclave || over(turn))
            continue;
        heard(turn, event);
        any = true;
    }
    if (any)
        end_all(NULL);
}

void turn_lost(struct turn *turn, uint32_t enclave)
{
    struct turn_habit *habit = habit_find(turn, enclave);
    struct turn_wait *wait, *next;
    if (habit)
        habit_free(habit);
    TAILQ_FOREACH_SAFE (wait, &turn->waits, entry, next) {
        if (wait->holder != enclave)
            continue;
        TAILQ_REMOVE(&turn->waits, wait, entry);
        kfree(wait);
    }
    if (turn->holder == enclave)
        turn->quiet_ns = 0; /* the next one's, when the timer comes to it */
    arm();
}
