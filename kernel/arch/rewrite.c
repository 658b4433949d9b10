/*
 * Recognising system call sites by their bytes, and patching them.
 *
 * No decoder: a few byte patterns around `0f 05` that compilers and libcs produce, chosen so that in measured programs
 * no match was anything but a real site. Patterns that come before the syscall displace an instruction of 5 bytes or
 * more and leave `0f 05` in place, so that a branch straight to it still works, by the slow path. Patterns that
 * displace the syscall itself are followed by a compare, and are left alone if anything nearby may branch to that
 * compare.
 *
 * A displaced syscall has a twin `0f 05` in the stub just before the address the kernel returns to, so that going back
 * two bytes from there restarts it as it does everywhere else.
 */
#include "kernel/arch/rewrite.h"

#include "kernel/arch/instruction.h"
#include "kernel/arch/stubs.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/string.h"

#define SYSCALL_NR_MAX 512
#define SYS_RT_SIGRETURN 15
#define BRANCH_NEAR 2048 /* how far around a site branches into it are looked for */
#define SHORT_REACH 130  /* a jump of two bytes comes from no further */

struct text {
    const uint8_t *bytes;
    size_t size;
};

struct match {
    size_t start, length; /* bytes that the jump and its padding replace */
    size_t return_offset; /* where the application goes on, in the text */
    /* Instructions the stub runs before and after the call, and those of the former that are to be moved there. */
    uint8_t before[STUB_BEFORE_MAX], after[8];
    uint8_t before_size, after_size;
    uint8_t relative; /* offset in before[] of a RIP-relative displacement; 0 = none */
};

static uint64_t rewritten_count, left_count;

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static bool before_is(const struct text *t, size_t site, const void *pattern, size_t size, size_t extra)
{
    return site >= size + extra && memcmp(t->bytes + site - size - extra, pattern, size) == 0;
}

static bool after_is(const struct text *t, size_t site, const void *pattern, size_t size, size_t extra)
{
    return site + 2 + size + extra <= t->size && memcmp(t->bytes + site + 2, pattern, size) == 0;
}

/* mov $imm32,%eax; syscall. A REX byte before would make it another mov. */
static bool match_mov_eax(const struct text *t, size_t site, struct match *m)
{
    if (site < 6 || t->bytes[site - 5] != 0xb8 || (t->bytes[site - 6] & 0xf0) == 0x40 ||
        load32(t->bytes + site - 4) >= SYSCALL_NR_MAX)
        return false;
    *m = (struct match){.start = site - 5, .length = 5, .return_offset = site + 2, .before_size = 5};
    memcpy(m->before, t->bytes + site - 5, 5);
    return true;
}

/* mov %r11,8(%rsp); syscall: cancellable calls of musl, and of glibc since 2.41. */
static bool match_store_r11(const struct text *t, size_t site, struct match *m)
{
    static const uint8_t pattern[] = {0x4c, 0x89, 0x5c, 0x24, 0x08};
    if (!before_is(t, site, pattern, sizeof(pattern), 0))
        return false;
    *m = (struct match){.start = site - 5, .length = 5, .return_offset = site + 2, .before_size = 5};
    memcpy(m->before, pattern, 5);
    return true;
}

/* mov $imm32,%rax; syscall, except rt_sigreturn's, which unwinders recognise by its bytes. */
static bool match_mov_rax(const struct text *t, size_t site, struct match *m)
{
    static const uint8_t pattern[] = {0x48, 0xc7, 0xc0};
    if (!before_is(t, site, pattern, sizeof(pattern), 4))
        return false;
    uint32_t nr = load32(t->bytes + site - 4);
    if (nr >= SYSCALL_NR_MAX || nr == SYS_RT_SIGRETURN)
        return false;
    *m = (struct match){.start = site - 7, .length = 7, .return_offset = site + 2, .before_size = 7};
    memcpy(m->before, t->bytes + site - 7, 7);
    return true;
}

/*
 * mov $imm32,%eax; one to three plain instructions; syscall. Only the mov is replaced; the stub repeats what lies
 * between.
 */
static bool match_mov_eax_apart(const struct text *t, size_t site, struct match *m)
{
    for (size_t gap = 2; gap <= STUB_BEFORE_MAX - 5 && gap + 6 <= site; gap++) {
        size_t start = site - gap - 5, at = start + 5;
        if (t->bytes[start] != 0xb8 || (t->bytes[start - 1] & 0xf0) == 0x40 ||
            load32(t->bytes + start + 1) >= SYSCALL_NR_MAX)
            continue;
        struct plain plain;
        uint8_t relative = 0;
        while (at < site && plain_instruction(t->bytes + at, site - at, &plain) && !(relative && plain.relative)) {
            if (plain.relative)
                relative = (uint8_t)(at - start + plain.relative);
            at += plain.size;
        }
        if (at != site)
            continue;
        *m = (struct match){.start = start,
                            .length = 5,
                            .return_offset = site + 2,
                            .before_size = (uint8_t)(5 + gap),
                            .relative = relative};
        memcpy(m->before, t->bytes + start, 5 + gap);
        return true;
    }
    return false;
}

/* xor %edi,%edi; mov %edx,%eax; syscall; jmp back: how glibc's threads exit. */
static bool match_exit(const struct text *t, size_t site, struct match *m)
{
    static const uint8_t before[] = {0x31, 0xff, 0x89, 0xd0}, after[] = {0xeb, 0xf8};
    if (!before_is(t, site, before, sizeof(before), 0) || !after_is(t, site, after, sizeof(after), 0))
        return false;
    *m = (struct match){.start = site - 4, .length = 6, .return_offset = site + 2, .before_size = 4};
    memcpy(m->before, before, sizeof(before));
    return true;
}

/* Does a jump of two bytes that may begin at offset i land on `target`? */
static bool short_jump_to(const struct text *t, size_t i, size_t target)
{
    uint8_t op = t->bytes[i];
    bool short_jump = (op & 0xf0) == 0x70 || op == 0xeb || (op & 0xfc) == 0xe0;
    return short_jump && i + 2 + (size_t)(int8_t)t->bytes[i + 1] == target;
}

/*
 * Might a jump in the neighbourhood land on offset `target`? Looks at every byte as if an instruction began there. The
 * distance of a near jump is compared before its opcode is looked at: it hardly ever fits. It begins one byte after
 * e9, and also one byte after the second opcode byte of a conditional jump.
 */
static bool branch_target(const struct text *t, size_t target)
{
    size_t from = target > BRANCH_NEAR ? target - BRANCH_NEAR : 0, to = MIN(target + BRANCH_NEAR, t->size);
    for (size_t i = from; i + 5 <= to; i++) {
        if (likely((uint32_t)(i + 5) + load32(t->bytes + i + 1) != (uint32_t)target))
            continue;
        if (t->bytes[i] == 0xe9 || ((t->bytes[i] & 0xf0) == 0x80 && i > 0 && t->bytes[i - 1] == 0x0f))
            return true;
    }
    from = target > SHORT_REACH ? target - SHORT_REACH : 0;
    to = MIN(target + SHORT_REACH, t->size);
    for (size_t i = from; i + 2 <= to; i++)
        if (short_jump_to(t, i, target))
            return true;
    return false;
}

/* syscall; cmp $-4096 or $-4095,%rax (or %eax); or cmp $imm8 with any 64-bit register. */
static bool match_compare(const struct text *t, size_t site, struct match *m)
{
    static const uint8_t rax_1[] = {0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff}, rax_2[] = {0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff},
                         eax_1[] = {0x3d, 0x00, 0xf0, 0xff, 0xff}, eax_2[] = {0x3d, 0x01, 0xf0, 0xff, 0xff},
                         imm8[] = {0x48, 0x83};
    size_t size = 0;
    if (after_is(t, site, rax_1, 6, 0) || after_is(t, site, rax_2, 6, 0))
        size = 6;
    else if (after_is(t, site, eax_1, 5, 0) || after_is(t, site, eax_2, 5, 0))
        size = 5;
    else if (after_is(t, site, imm8, 2, 2) && t->bytes[site + 4] >= 0xf8)
        size = 4;
    if (size == 0 || branch_target(t, site + 2))
        return false;
    *m = (struct match){
        .start = site, .length = 2 + size, .return_offset = site + 2 + size, .after_size = (uint8_t)size};
    memcpy(m->after, t->bytes + site + 2, size);
    return true;
}

static bool match_site(const struct text *t, size_t site, struct match *m)
{
    return match_mov_eax(t, site, m) || match_store_r11(t, site, m) || match_mov_rax(t, site, m) ||
           match_compare(t, site, m) || match_mov_eax_apart(t, site, m) || match_exit(t, site, m);
}

/* The site becomes `jmp stub`, the rest of it breakpoints that nothing reaches. */
static bool patch(uaddr_t start, uint8_t *text, const struct match *m)
{
    struct stub_request request = {
        .site = start + m->start,
        .site_size = m->length,
        .return_addr = start + m->return_offset,
        .before = m->before,
        .after = m->after,
        .before_size = m->before_size,
        .after_size = m->after_size,
        .relative = m->relative,
        .syscall_kept = m->start + m->length <= m->return_offset - 2,
    };
    uaddr_t stub = stub_new(&request);
    if (!stub)
        return false;
    int32_t jump = (int32_t)(stub - (start + m->start + 5));
    text[m->start] = 0xe9;
    memcpy(text + m->start + 1, &jump, sizeof(jump));
    memset(text + m->start + 5, 0xcc, m->length - 5);
    return true;
}

#define EACH_BYTE(byte) (0x0101010101010101 * (uint64_t)(byte))
#define SCANNED 32 /* bytes that any_site() looks at */

/* Highest bits are set if any `0f 05` begins in these eight bytes. */
static uint64_t sites_in_eight(const uint8_t *bytes)
{
    uint64_t first, second;
    memcpy(&first, bytes, sizeof(first));
    memcpy(&second, bytes + 1, sizeof(second));
    uint64_t differs = (first ^ EACH_BYTE(0x0f)) | (second ^ EACH_BYTE(0x05));
    return (differs - EACH_BYTE(1)) & ~differs;
}

/* Does any `0f 05` begin in these bytes? Text is full of single 05s: they are in every RIP-relative operand. */
static bool any_site(const uint8_t *bytes)
{
    uint64_t sites =
        sites_in_eight(bytes) | sites_in_eight(bytes + 8) | sites_in_eight(bytes + 16) | sites_in_eight(bytes + 24);
    return (sites & EACH_BYTE(0x80)) != 0;
}

/* The offset of the first `0f 05` from offset i on, or the size. Most of text has none and is passed over quickly. */
static size_t next_site(const struct text *t, size_t i)
{
    for (size_t end; i + 1 < t->size; i = end) {
        end = MIN(i + SCANNED, t->size - 1);
        if (end == i + SCANNED && likely(!any_site(t->bytes + i)))
            continue;
        for (; i < end; i++)
            if (t->bytes[i] == 0x0f && t->bytes[i + 1] == 0x05)
                return i;
    }
    return t->size;
}

void rewrite_text_copy(uaddr_t start, void *text, size_t size)
{
    const struct text t = {text, size};
    size_t next;
    for (size_t i = next_site(&t, 0); i < size; i = next_site(&t, next)) {
        struct match m;
        if (match_site(&t, i, &m) && patch(start, text, &m)) {
            rewritten_count++;
            next = m.return_offset;
        } else {
            left_count++;
            next = i + 1;
        }
    }
}

void rewrite_text(uaddr_t start, size_t size)
{
    rewrite_text_copy(start, (void *)start, size);
}

void rewrite_forget(uaddr_t start, size_t size)
{
    stubs_forget(start, size);
}

void rewrite_forget_if(bool (*gone)(uaddr_t site))
{
    stubs_forget_if(gone);
}

int rewrite_save(struct stream *stream, bool stubs)
{
    return stubs_save(stream, stubs);
}

int rewrite_load(struct stream *stream)
{
    return stubs_load(stream);
}

uaddr_t rewrite_stub_site(uaddr_t rip)
{
    struct stub_place place;
    return stub_find(rip, &place) ? place.site : 0;
}

/* The displaced compare, with the application's registers: only the arithmetic flags change. */
static void run_compare(struct trap_frame *frame, const uint8_t *code)
{
    uint64_t flags;
    if (code[0] == 0x3d) {
        __asm__("cmp %2, %1; pushfq; pop %0" : "=r"(flags) : "r"((uint32_t)frame->rax), "r"(load32(code + 1)) : "cc");
    } else {
        uint64_t left = frame->rax, right;
        if (code[1] == 0x3d) {
            right = (uint64_t)(int64_t)(int32_t)load32(code + 2);
        } else {
            const uint64_t regs[] = {frame->rax, frame->rcx, frame->rdx, frame->rbx,
                                     frame->rsp, frame->rbp, frame->rsi, frame->rdi};
            left = regs[code[2] & 7];
            right = (uint64_t)(int64_t)(int8_t)code[3];
        }
        __asm__("cmp %2, %1; pushfq; pop %0" : "=r"(flags) : "r"(left), "r"(right) : "cc");
    }
    const uint64_t arithmetic = 0x8d5; /* CF PF AF ZF SF OF */
    frame->rflags = (frame->rflags & ~arithmetic) | (flags & arithmetic);
}

void rewrite_leave_stub(struct trap_frame *frame)
{
    struct stub_place place;
    if (!stub_find(frame->rip, &place))
        return;
    switch (place.progress) {
    case STUB_BEFORE_CALL:
        frame->rip = place.resume;
        break;
    case STUB_AFTER_CALL:
        run_compare(frame, place.after);
        frame->rip = place.site + place.site_size;
        break;
    case STUB_DONE:
        frame->rip = place.site + place.site_size;
        break;
    }
}

bool rewrite_straddles(uaddr_t boundary)
{
    return stubs_straddle(boundary);
}

void rewrite_counts(uint64_t *ret_rewritten, uint64_t *ret_left)
{
    *ret_rewritten = rewritten_count;
    *ret_left = left_count;
}
