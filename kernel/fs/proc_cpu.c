/* /proc/cpuinfo, out of CPUID as applications may see it. */
#include "kernel/boot/boot.h"
#include "kernel/fs/proc.h"
#include "kernel/lib/string.h"

/* Names of the bits of one register, as Linux calls them, in Linux's order of words; NULL: no name. */
struct flag_word {
    uint32_t leaf, subleaf;
    unsigned reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
    const char *names[32];
};

static const struct flag_word flag_words[] = {
    {1, 0, 3, {"fpu",  "vme",  "de",   "pse", "tsc",  "msr", "pae",   "mce", "cx8",     "apic", NULL,
               "sep",  "mtrr", "pge",  "mca", "cmov", "pat", "pse36", "pn",  "clflush", NULL,   "dts",
               "acpi", "mmx",  "fxsr", "sse", "sse2", "ss",  "ht",    "tm",  "ia64",    "pbe"}},
    {0x80000001,
     0,
     3,
     {[11] = "syscall",
      [19] = "mp",
      [20] = "nx",
      [22] = "mmxext",
      [25] = "fxsr_opt",
      [26] = "pdpe1gb",
      [27] = "rdtscp",
      [29] = "lm",
      [30] = "3dnowext",
      [31] = "3dnow"}},
    {1, 0, 2, {"pni",    "pclmulqdq", "dtes64", "monitor", "ds_cpl",
               "vmx",    "smx",       "est",    "tm2",     "ssse3",
               "cid",    "sdbg",      "fma",    "cx16",    "xtpr",
               "pdcm",   NULL,        "pcid",   "dca",     "sse4_1",
               "sse4_2", "x2apic",    "movbe",  "popcnt",  "tsc_deadline_timer",
               "aes",    "xsave",     NULL,     "avx",     "f16c",
               "rdrand", "hypervisor"}},
    {0x80000001,
     0,
     2,
     {"lahf_lm",     "cmp_legacy",    "svm",          "extapic",   "cr8_legacy", "abm",        "sse4a",
      "misalignsse", "3dnowprefetch", "osvw",         "ibs",       "xop",        "skinit",     "wdt",
      NULL,          "lwp",           "fma4",         "tce",       NULL,         "nodeid_msr", NULL,
      "tbm",         "topoext",       "perfctr_core", "perfctr_nb"}},
    {7, 0, 1, {"fsgsbase", "tsc_adjust", "sgx",      "bmi1",     "hle",      "avx2",       NULL,       "smep",
               "bmi2",     "erms",       "invpcid",  "rtm",      "cqm",      NULL,         "mpx",      "rdt_a",
               "avx512f",  "avx512dq",   "rdseed",   "adx",      "smap",     "avx512ifma", NULL,       "clflushopt",
               "clwb",     "intel_pt",   "avx512pf", "avx512er", "avx512cd", "sha_ni",     "avx512bw", "avx512vl"}},
    {0xd, 1, 0, {"xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd"}},
    {7, 1, 0, {[4] = "avx_vnni", [5] = "avx512_bf16"}},
    {7,
     0,
     2,
     {[1] = "avx512vbmi",
      [2] = "umip",
      [3] = "pku",
      [4] = "ospke",
      [5] = "waitpkg",
      [6] = "avx512_vbmi2",
      [8] = "gfni",
      [9] = "vaes",
      [10] = "vpclmulqdq",
      [11] = "avx512_vnni",
      [12] = "avx512_bitalg",
      [14] = "avx512_vpopcntdq",
      [16] = "la57",
      [22] = "rdpid",
      [24] = "bus_lock_detect",
      [25] = "cldemote",
      [27] = "movdiri",
      [28] = "movdir64b"}},
    {7,
     0,
     3,
     {[2] = "avx512_4vnniw",
      [3] = "avx512_4fmaps",
      [4] = "fsrm",
      [8] = "avx512_vp2intersect",
      [10] = "md_clear",
      [14] = "serialize",
      [16] = "tsxldtrk",
      [22] = "amx_bf16",
      [23] = "avx512_fp16",
      [24] = "amx_tile",
      [25] = "amx_int8"}},
};

static void show_flags(struct seq *seq)
{
    seq_printf(seq, "flags\t\t:");
    for (size_t i = 0; i < ARRAY_COUNT(flag_words); i++) {
        const struct flag_word *word = &flag_words[i];
        uint32_t regs[4];

        cpuid_query(word->leaf, word->subleaf, regs);
        for (unsigned bit = 0; bit < 32; bit++)
            if ((regs[word->reg] >> bit & 1) && word->names[bit])
                seq_printf(seq, " %s", word->names[bit]);
    }
    seq_printf(seq, "\n");
}

static void show_model(struct seq *seq)
{
    uint32_t regs[4];
    unsigned family, model;
    char vendor[13], name[49];

    cpuid_query(0, 0, regs);
    memcpy(vendor, &regs[1], 4);
    memcpy(vendor + 4, &regs[3], 4);
    memcpy(vendor + 8, &regs[2], 4);
    vendor[12] = '\0';
    cpuid_query(1, 0, regs);
    family = regs[0] >> 8 & 15;
    model = regs[0] >> 4 & 15;
    if (family == 6 || family == 15)
        model |= regs[0] >> 12 & 0xf0;
    if (family == 15)
        family += regs[0] >> 20 & 0xff;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t part[4];

        cpuid_query(0x80000002 + i, 0, part);
        memcpy(name + 16 * i, part, 16);
    }
    name[48] = '\0';
    seq_printf(seq, "vendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n", vendor,
               family, model, name, regs[0] & 15);
}

static void show_cpu(struct seq *seq, unsigned index, unsigned count)
{
    unsigned long khz = boot_params()->tsc_hz / 1000;
    uint32_t regs[4], addresses[4], highest[4];

    seq_printf(seq, "processor\t: %u\n", index);
    show_model(seq);
    cpuid_query(0, 0, highest);
    cpuid_query(1, 0, regs);
    cpuid_query(0x80000008, 0, addresses);
    seq_printf(seq, "cpu MHz\t\t: %lu.%03lu\n", khz / 1000, khz % 1000);
    seq_printf(seq,
               "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\n"
               "initial apicid\t: %u\n",
               count, index, count, index, index);
    seq_printf(seq, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n", highest[0]);
    show_flags(seq);
    seq_printf(seq, "bugs\t\t:\nbogomips\t: %lu.%02lu\nclflush size\t: %u\ncache_alignment\t: %u\n", khz / 500,
               khz / 5 % 100, (regs[1] >> 8 & 0xff) * 8, (regs[1] >> 8 & 0xff) * 8);
    seq_printf(seq, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n", addresses[0] & 0xff,
               addresses[0] >> 8 & 0xff);
}

int proc_show_cpuinfo(struct seq *seq, const struct pseudo_ctx *ctx)
{
    for (unsigned i = 0; i < vcpu_count(); i++)
        show_cpu(seq, i, vcpu_count());
    return 0;
}
