/* Turns (contract in turn.h). */
#include "kernel/remote/turn.h"

#include "kernel/mm/kmalloc.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

#define QUIET_NS 1000000ULL  /* its thread has to be woken and to run, perhaps on a busy CPU */
#define SHORT_NS 50000ULL    /* where turns are of no use */
#define ENOUGH_NS 8000000ULL /* then the next call ends the turn */
#define LONGEST_NS 12000000ULL
#define UNUSED_MAX 4
#define TRY_EVERY 64
#define HABIT_PAGES 64
#define FORGET_EVERY 4

/* A take that is put off. */
struct turn_wait {
    TAILQ_ENTRY(turn_wait) entry;
    uint32_t holder, waiter; /* of whom, for whom */
    uint64_t index;
    bool to_read;
};

struct habit_page {
    uint64_t index;
    bool write;
};

/* What an enclave got during its turns. */
struct turn_habit {
    LIST_ENTRY(turn_habit) entry;
    uint32_t enclave;
    int pid; /* who asked last, and by which handle */
    uint64_t handle;
    unsigned count, last_count, begun;
    struct habit_page pages[HABIT_PAGES], last[HABIT_PAGES]; /* in this turn, in the last one */
};

static TAILQ_HEAD(, turn) turns = TAILQ_HEAD_INITIALIZER(turns); /* that somebody has */
static struct timer timer;
static const struct turn_ops *ops;

static uint64_t end_of(const struct turn *turn)
{
    return MIN(turn->quiet_ns, turn->began_ns + LONGEST_NS);
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

static void habit_note(struct turn_habit *habit, uint64_t index, bool write)
{
    unsigned i = 0;
    while (i < habit->count && habit->pages[i].index != index)
        i++;
    if (i == HABIT_PAGES)
        return;
    if (i == habit->count)
        habit->pages[habit->count++] = (struct habit_page){.index = index};
    habit->pages[i].write |= write;
}

static void habit_free(struct turn_habit *habit)
{
    LIST_REMOVE(habit, entry);
    kfree(habit);
}

static void habit_turn_over(struct turn *turn)
{
    struct turn_habit *habit = habit_find(turn, turn->holder);
    if (!habit || habit->count == 0)
        return;
    for (unsigned i = 0; i < habit->count; i++) {
        habit->last[i] = habit->pages[i];
        if (habit->pages[i].write && !TAILQ_EMPTY(&turn->waits))
            ops->recall(turn, turn->holder, habit->pages[i].index);
    }
    habit->last_count = habit->count;
    habit->count = 0;
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

/* One page is left out now and then: whether it is still wanted is seen by whether it is asked for. */
static void bring_along(struct turn *turn)
{
    struct turn_habit *habit = habit_find(turn, turn->holder);
    if (!habit || habit->last_count < 2)
        return;
    habit->begun++;
    unsigned without = habit->begun % FORGET_EVERY == 0 ? habit->begun / FORGET_EVERY % habit->last_count : HABIT_PAGES;
    for (unsigned i = 0; i < habit->last_count; i++) {
        if (i == without)
            continue;
        ops->expect(turn, turn->holder, habit->pid, habit->handle, habit->last[i].index, habit->last[i].write);
        hurry(turn, habit->last[i].index, false);
    }
}

/* ---- turns ---- */

static void begin(struct turn *turn, uint32_t holder)
{
    if (turn->holder == TURN_NOBODY)
        TAILQ_INSERT_TAIL(&turns, turn, entry);
    turn->holder = holder;
    turn->began_ns = time_monotonic_ns();
    turn->quiet_ns = turn->began_ns + QUIET_NS;
    turn->used = false;
}

static void drop(struct turn *turn)
{
    TAILQ_REMOVE(&turns, turn, entry);
    turn->holder = TURN_NOBODY;
}

/* It goes to who waited longest, if anybody did; what that one waits for is asked for. */
static void end(struct turn *turn)
{
    struct turn_wait *wait = TAILQ_FIRST(&turn->waits), *next;
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

static struct turn *first_over(void)
{
    struct turn *turn;
    TAILQ_FOREACH (turn, &turns, entry)
        if (over(turn))
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

static void goes_on(struct turn *turn)
{
    bool short_one = turn->unused_count >= UNUSED_MAX && ++turn->tried_count % TRY_EVERY != 0;
    turn->quiet_ns = time_monotonic_ns() + (short_one ? SHORT_NS : QUIET_NS);
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
    }
    if (!turn_is_of(turn, enclave))
        return;
    turn->used = true;
    turn->quiet_ns = time_monotonic_ns() + QUIET_NS;
    arm();
}

void turn_waits(struct turn *turn, uint32_t enclave, uint64_t index)
{
    if (turn_is_of(turn, enclave))
        hurry(turn, index, true);
}

void turn_granted(struct turn *turn, uint32_t enclave, uint64_t index, bool write)
{
    struct turn_habit *habit = habit_find(turn, enclave);
    if (!turn_is_of(turn, enclave))
        return;
    if (habit)
        habit_note(habit, index, write);
    goes_on(turn);
    arm();
}

static void heard(struct turn *turn, enum turn_event event)
{
    uint64_t now = time_monotonic_ns();
    bool goes = event == TURN_CALLED && now - turn->began_ns < ENOUGH_NS;
    turn->used |= event == TURN_CALLED;
    turn->quiet_ns = goes ? now + QUIET_NS : now;
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
