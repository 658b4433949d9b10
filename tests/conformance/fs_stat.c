/* stat, statx, statfs; what is refused. */
#include "show.h"
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

int main(void)
{
    struct stat st, st2;
    struct statx x;
    struct statfs fs;
    mkdir("fs_stat", 0755);
    if (chdir("fs_stat") < 0)
        return 1;
    int fd = open("f", O_RDWR | O_CREAT, 0640);
    SHOW(write(fd, "12345", 5));
    SHOW(stat("f", &st));
    SHOW(fstat(fd, &st2));
    printf("%o %ld %ld %ld %ld %d\n", st.st_mode, (long)st.st_nlink, (long)st.st_size, (long)st.st_blksize,
           (long)st.st_blocks, st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
    SHOW(fstatat(AT_FDCWD, "", &st, 0));
    SHOW(fstatat(fd, "", &st, AT_EMPTY_PATH));
    SHOW(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
    printf("%o\n", st.st_mode & S_IFMT);
    SHOW(fstatat(fd, "x", &st, 0));
    SHOW(fstatat(99, "x", &st, 0));
    SHOW(fstatat(99, "/", &st, 0));
    SHOW(fstatat(AT_FDCWD, "f", &st, 0x8000000));
    SHOW(stat("f", (void *)8));
    SHOW(stat((void *)8, &st));
    SHOW(statx(AT_FDCWD, "f", 0, STATX_ALL, &x));
    printf("%o %u %llu %x\n", x.stx_mode, x.stx_nlink, (unsigned long long)x.stx_size, x.stx_mask & STATX_BASIC_STATS);
    SHOW(statx(AT_FDCWD, "f", 0, 0x80000000, &x));
    SHOW(statx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, STATX_ALL, &x));
    SHOW(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &x));
    SHOW(statx(AT_FDCWD, "/proc", 0, STATX_ALL, &x));
    SHOW((x.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0);
    SHOW(statfs(".", &fs));
    SHOW(fs.f_namelen);
    SHOW(fs.f_bsize);
    SHOW(fs.f_bfree <= fs.f_blocks && fs.f_bavail <= fs.f_bfree);
    SHOW(fstatfs(fd, &fs));
    SHOW(fstatfs(99, &fs));
    SHOW(statfs("none", &fs));
    SHOW(statfs("/proc", &fs));
    SHOW(fs.f_type == 0x9fa0);
    SHOW(stat("/dev/null", &st));
    printf("%o %lx\n", st.st_mode & S_IFMT, (long)st.st_rdev);
    SHOW(access("f", F_OK));
    SHOW(fchownat(AT_FDCWD, "f", 0, 0, 0x4));
    SHOW(syscall(SYS_name_to_handle_at, AT_FDCWD, "f", (void *)8, &fd, 0) < 0);
    int p[2];
    SHOW(pipe(p));
    SHOW(fstat(p[0], &st));
    printf("%o %ld %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size);
    SHOW(lseek(p[0], 0, SEEK_SET));
    SHOW(pread(p[0], &st, 1, 0));
    SHOW(fsync(p[0]));
    SHOW(ftruncate(p[1], 0));
    SHOW(fallocate(p[1], 0, 0, 1));
    return 0;
}
