/* Checks of messages (contract in check.h). */
#include "kernel/remote/check.h"

#include <asm/processor-flags.h>
#include <linux/errno.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "kernel/arch/trap.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/remote/area.h"

#define ERRNO_MAX 4095
#define ADDRESS_END (1ULL << 47)
#define FLAGS_ALWAYS 0x202ULL
#define FLAGS_FREE                                                                                                     \
    (X86_EFLAGS_AC | X86_EFLAGS_OF | X86_EFLAGS_DF | X86_EFLAGS_SF | X86_EFLAGS_ZF | X86_EFLAGS_AF | X86_EFLAGS_PF |   \
     X86_EFLAGS_CF | X86_EFLAGS_RF | X86_EFLAGS_ID)
#define MXCSR_OFFSET 24
#define MXCSR_RESERVED 0xffff0000U
#define XSAVE_HEADER_OFFSET 512

/* Any other byte in a bool is undefined behaviour to read as one. */
#define BOOL_OK(field) (*(const uint8_t *)&(field) <= 1)
#define TERMINATED(array) (memchr(array, '\0', sizeof(array)) != NULL)

int answer_error(int64_t result)
{
    return result < 0 && result >= -ERRNO_MAX ? (int)result : -EPROTO;
}

bool stream_place_ok(const struct stream_place *place)
{
    return place->number > link_area_member_max() && place->number < link_area_link_count() &&
           place->peer <= link_area_member_max();
}

bool signal_source_ok(const struct signal_source *source)
{
    return source->signal >= 1 && source->signal <= SIGNAL_MAX && BOOL_OK(source->from_child);
}

bool stop_signal_ok(int64_t signal)
{
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

bool wait_status_ok(int64_t status)
{
    int64_t signal = status & 0x7f;
    return status >= 0 && status <= 0xffff && (signal == 0 || (status >> 8 == 0 && signal <= SIGNAL_MAX));
}

bool file_info_ok(const struct file_info *info)
{
    return info->size >= 0 && TERMINATED(info->path);
}

static bool segment_ok(const struct elf_image *image, const struct elf_segment *s)
{
    return s->memory_size > 0 && s->memory_size <= ADDRESS_END && s->vaddr <= ADDRESS_END - s->memory_size &&
           s->file_size <= s->memory_size && s->offset <= (uint64_t)INT64_MAX - s->memory_size &&
           s->vaddr >= image->low && ALIGN_UP(s->vaddr + s->memory_size, PAGE_SIZE) <= image->high &&
           !(s->file_size && (s->vaddr ^ s->offset) % PAGE_SIZE) && !(s->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC));
}

bool elf_image_ok(const struct elf_image *image)
{
    if (!BOOL_OK(image->dynamic) || !BOOL_OK(image->executable_stack) || !BOOL_OK(image->has_interp) ||
        !TERMINATED(image->interp) || image->segment_count == 0 || image->segment_count > ELF_SEGMENTS_MAX)
        return false;
    if (image->low % PAGE_SIZE || image->high % PAGE_SIZE || image->low >= image->high || image->high > ADDRESS_END ||
        image->align < PAGE_SIZE || image->align >= ADDRESS_END || (image->align & (image->align - 1)))
        return false;
    for (size_t i = 0; i < image->segment_count; i++)
        if (!segment_ok(image, &image->segments[i]))
            return false;
    return true;
}

bool strings_ok(const char *text, size_t size, size_t count)
{
    size_t ends = 0;
    if (size == 0 || text[size - 1] != '\0')
        return size == 0 && count == 0;
    for (size_t i = 0; i < size; i++)
        ends += text[i] == '\0';
    return ends == count;
}

bool adopt_message_ok(const struct adopt_message *m)
{
    return m->message.pid > 1 && (m->how == ADOPT_FORK || m->how == ADOPT_EXEC) && stream_place_ok(&m->stream) &&
           m->ppid >= 0 && m->pgid >= 0 && m->sid >= 0 && m->exit_signal >= 0 && m->exit_signal <= SIGNAL_MAX &&
           m->nice >= -20 && m->nice <= 19 && TERMINATED(m->comm) && TERMINATED(m->hostname) &&
           m->credentials.group_count <= NGROUPS_MAX_COFRE && BOOL_OK(m->credentials.keep_capabilities);
}

bool touched_message_ok(const struct touched_message *m, size_t size)
{
    return size >= sizeof(*m) && m->count <= (size - sizeof(*m)) / sizeof(m->pages[0]);
}

bool fork_message_ok(const struct fork_message *m)
{
    return m->exit_signal >= 0 && m->exit_signal <= SIGNAL_MAX && !(m->flags & (CLONE_THREAD | CLONE_SIGHAND));
}

bool exec_open_message_ok(const struct exec_open_message *m)
{
    return TERMINATED(m->path) && TERMINATED(m->name) &&
           !(m->lookup_flags & ~(unsigned)(LOOKUP_FOLLOW | LOOKUP_EMPTY_PATH | LOOKUP_NO_SYMLINKS));
}

bool exec_image_ok(const struct exec_image *image)
{
    return file_info_ok(&image->file) && elf_image_ok(&image->image) && TERMINATED(image->comm) &&
           image->affinity_mask != 0 &&
           (!image->has_interp || (file_info_ok(&image->interp_file) && elf_image_ok(&image->interp)));
}

bool thread_image_ok(const struct thread_image *image)
{
    return image->vector_size == xsave_size && image->fs_base < ADDRESS_END && user_range_ok(image->frame.rip, 1) &&
           (image->frame.rflags & ~(uint64_t)FLAGS_FREE) == FLAGS_ALWAYS && image->affinity_mask != 0;
}

bool vector_image_ok(const void *image)
{
    uint64_t header[8];
    uint32_t mxcsr;
    memcpy(&mxcsr, (const uint8_t *)image + MXCSR_OFFSET, sizeof(mxcsr));
    memcpy(header, (const uint8_t *)image + XSAVE_HEADER_OFFSET, sizeof(header));
    bool clear = (header[0] & ~xfrm) == 0;
    for (size_t i = 1; i < ARRAY_COUNT(header); i++)
        clear &= header[i] == 0;
    return clear && !(mxcsr & MXCSR_RESERVED);
}
