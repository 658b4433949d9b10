/* exec of what is no program, or none for this machine, or a damaged one: from fork, vfork and posix_spawn. */
#include "child.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *image;
static size_t image_size;

static void load_self(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    struct stat st;
    fstat(fd, &st);
    image_size = st.st_size;
    image = malloc(image_size);
    for (size_t at = 0; at < image_size;) {
        ssize_t n = read(fd, image + at, image_size - at);
        if (n <= 0)
            exit(1);
        at += n;
    }
    close(fd);
}

static void put(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (write(fd, data, size) != (ssize_t)size)
        exit(1);
    close(fd);
}

static void show_end(const char *how, int status)
{
    if (WIFSIGNALED(status))
        printf(" %s: signal %d", how, WTERMSIG(status));
    else
        printf(" %s: exit %d", how, WEXITSTATUS(status));
}

/* The exit status is 200, or the errno of execve. */
static void try(const char *what, const char *path)
{
    char *argv[] = {(char *)path, "again", NULL}, *envp[] = {NULL};
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execve(path, argv, envp);
        _exit(errno);
    }
    printf("%s:", what);
    waitpid(pid, &status, 0);
    show_end("fork", status);
    pid = vfork();
    if (pid == 0) {
        execve(path, argv, envp);
        _exit(errno);
    }
    waitpid(pid, &status, 0);
    show_end("vfork", status);
    int error = posix_spawn(&pid, path, NULL, NULL, argv, envp);
    if (error) {
        printf(" spawn: error %d", error);
    } else {
        waitpid(pid, &status, 0);
        show_end("spawn", status);
    }
    printf("\n");
}

static void try_bytes(const char *what, const void *data, size_t size)
{
    put("bad", data, size);
    try(what, "./bad");
}

/* The program with `size` bytes at `offset` changed. */
static void try_changed(const char *what, size_t offset, uint64_t value, size_t size)
{
    char *copy = malloc(image_size);
    memcpy(copy, image, image_size);
    memcpy(copy + offset, &value, size);
    try_bytes(what, copy, image_size);
    free(copy);
}

/* A program whose loader is ./ld, and that a loader which is no loader. */
static void try_loaders(const Elf64_Phdr *interp, size_t at)
{
    static const char text[] = "not a loader, and long enough to hold the header of one if it were one: 0123456789";
    char *program = malloc(image_size), *loader = malloc(image_size);
    uint64_t size = 5;
    memcpy(program, image, image_size);
    memcpy(program + interp->p_offset, "./ld", 5);
    memcpy(program + at + offsetof(Elf64_Phdr, p_filesz), &size, sizeof(size));
    put("ld", "", 0);
    try_bytes("loader empty", program, image_size);
    put("ld", text, sizeof(text));
    try_bytes("loader is text", program, image_size);
    put("ld", image, 40);
    try_bytes("loader is half a header", program, image_size);
    put("ld", image, sizeof(Elf64_Ehdr));
    try_bytes("loader is a header", program, image_size);
    memcpy(loader, image, image_size);
    ((Elf64_Ehdr *)loader)->e_machine = EM_AARCH64;
    put("ld", loader, image_size);
    try_bytes("loader for ARM", program, image_size);
    ((Elf64_Ehdr *)loader)->e_machine = EM_X86_64;
    ((Elf64_Ehdr *)loader)->e_phnum = 0;
    put("ld", loader, image_size);
    try_bytes("loader without program headers", program, image_size);
    chmod("ld", 0644);
    try_bytes("loader not executable", program, image_size);
    free(program);
    free(loader);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 200;
    load_self();
    setbuf(stdout, NULL);
    static const char text[] = "echo no interpreter is named here\n", odd[] = "#!\n", nothing[] = "#!/nowhere/at/all\n";
    try_bytes("good", image, image_size);
    try_bytes("empty", "", 0);
    try_bytes("one byte", "x", 1);
    try_bytes("text", text, sizeof(text) - 1);
    try_bytes("no interpreter", odd, sizeof(odd) - 1);
    try_bytes("interpreter not there", nothing, sizeof(nothing) - 1);
    try_bytes("magic only", image, 4);
    try_bytes("half a header", image, 40);
    try_bytes("header only", image, sizeof(Elf64_Ehdr));
    try_bytes("cut in program headers", image, sizeof(Elf64_Ehdr) + 60);
    try_changed("no magic", 1, 'x', 1);
    try_changed("for ARM", offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2);
    try_changed("for RISC-V", offsetof(Elf64_Ehdr, e_machine), EM_RISCV, 2);
    try_changed("for no machine", offsetof(Elf64_Ehdr, e_machine), EM_NONE, 2);
    try_changed("an object file", offsetof(Elf64_Ehdr, e_type), ET_REL, 2);
    try_changed("a core", offsetof(Elf64_Ehdr, e_type), ET_CORE, 2);
    try_changed("odd size of program headers", offsetof(Elf64_Ehdr, e_phentsize), 12, 2);
    try_changed("no program headers", offsetof(Elf64_Ehdr, e_phnum), 0, 2);
    try_changed("too many program headers", offsetof(Elf64_Ehdr, e_phnum), 65535, 2);
    try_changed("program headers nowhere", offsetof(Elf64_Ehdr, e_phoff), 1UL << 40, 8);
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)image;
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(image + eh->e_phoff);
    for (int i = 0; i < eh->e_phnum; i++) {
        size_t at = eh->e_phoff + i * sizeof(*ph);
        if (ph[i].p_type == PT_INTERP) {
            try_changed("loader not there", ph[i].p_offset + 1, 'x', 1);
            try_changed("loader's name without an end", ph[i].p_offset + ph[i].p_filesz - 1, 'x', 1);
            try_changed("loader's name of nothing", at + offsetof(Elf64_Phdr, p_filesz), 0, 8);
            try_changed("loader's name too long", at + offsetof(Elf64_Phdr, p_filesz), 5000, 8);
            try_loaders(&ph[i], at);
        }
    }
    mkdir("folder", 0755);
    try("folder", "./folder");
    put("plain", image, image_size);
    chmod("plain", 0644);
    try("not executable", "./plain");
    try("not there", "./absent");
    try("through a file", "./plain/x");
    return 0;
}
