/* Modes, owners, times, access, who may do what. */
#include "show.h"
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <utime.h>

static void look(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        printf("%s: %s\n", path, strerrorname_np(errno));
    else
        printf("%s: %o %u:%u size %ld nlink %ld\n", path, st.st_mode, st.st_uid, st.st_gid,
               S_ISDIR(st.st_mode) ? 0 : (long)st.st_size, (long)st.st_nlink);
}

static void times(const char *path)
{
    struct stat st;
    lstat(path, &st);
    printf("%s: %ld.%09ld %ld.%09ld\n", path, (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec,
           st.st_mtim.tv_nsec);
}

static void modes(void)
{
    close(creat("f", 0644));
    mkdir("d", 0755);
    symlink("f", "l");
    SHOW(chmod("f", 0));
    look("f");
    SHOW(chmod("f", 07777));
    look("f");
    SHOW(chmod("f", 0177777));
    look("f");
    SHOW(chmod("l", 0600));
    look("f");
    look("l");
    SHOW(chmod("none", 0600));
    SHOW(fchmodat(AT_FDCWD, "d", 01777, 0));
    look("d");
    int fd = open("f", O_RDONLY);
    SHOW(fchmod(fd, 0640));
    look("f");
    SHOW(fchmod(99, 0640));
    SHOW(chown("f", 5, 6));
    look("f");
    SHOW(fchown(fd, -1, 7));
    look("f");
    SHOW(lchown("l", 8, 9));
    look("l");
    SHOW(chown("l", 10, -1));
    look("f");
    SHOW(fchownat(fd, "", 11, 12, AT_EMPTY_PATH));
    look("f");
    SHOW(fchownat(AT_FDCWD, "l", 13, 14, AT_SYMLINK_NOFOLLOW));
    look("l");
    SHOW(chmod("f", 06755));
    SHOW(chown("f", 0, 0));
    look("f");
    close(fd);
}

static void set_id_bits(void)
{
    chmod("f", 06775);
    chown("f", 1000, 1000);
    chmod("f", 06775);
    int fd = open("f", O_WRONLY);
    setfsuid(1000);
    SHOW(write(fd, "x", 1));
    look("f");
    setfsuid(0);
    chmod("f", 02745);
    SHOW(truncate("f", 0));
    look("f");
    close(fd);
    chown("f", 0, 0);
    chmod("f", 0644);
}

static void change_times(void)
{
    struct timespec ts[2] = {{1000, 1}, {2000, 999999999}};
    SHOW(utimensat(AT_FDCWD, "f", ts, 0));
    times("f");
    ts[0].tv_nsec = UTIME_OMIT;
    ts[1].tv_sec = -5;
    ts[1].tv_nsec = 5;
    SHOW(utimensat(AT_FDCWD, "f", ts, 0));
    times("f");
    ts[1].tv_nsec = 1000000000;
    SHOW(utimensat(AT_FDCWD, "f", ts, 0));
    ts[1].tv_nsec = UTIME_OMIT;
    SHOW(utimensat(AT_FDCWD, "none", ts, 0));
    ts[0] = ts[1] = (struct timespec){42, 0};
    SHOW(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW));
    times("l");
    times("f");
    SHOW(utimensat(AT_FDCWD, "l", ts, 0x4000));
    int fd = open("f", O_RDONLY);
    SHOW(futimens(fd, ts));
    times("f");
    close(fd);
    struct utimbuf ub = {7, 8};
    SHOW(utime("f", &ub));
    times("f");
    struct timeval tv[2] = {{9, 10}, {11, 12}};
    SHOW(utimes("f", tv));
    times("f");
    tv[0].tv_usec = 1000000;
    SHOW(utimes("f", tv));
    SHOW(utimes("none", NULL));
    SHOW(utimes("f", NULL));
    struct stat st;
    stat("f", &st);
    SHOW(st.st_mtime > 1000000000 && st.st_atime == st.st_mtime);
    /* What moves which time. */
    utime("f", &ub);
    utime("d", &ub);
    close(creat("d/x", 0644));
    stat("d", &st);
    SHOW(st.st_mtime > 1000);
    utime("d", &ub);
    unlink("d/x");
    stat("d", &st);
    SHOW(st.st_mtime > 1000);
    fd = open("f", O_RDWR);
    SHOW(write(fd, "1", 1));
    fstat(fd, &st);
    SHOW(st.st_mtime > 1000);
    utime("f", &ub);
    chmod("f", 0600);
    fstat(fd, &st);
    SHOW(st.st_mtime);
    SHOW(st.st_ctime > 1000);
    close(fd);
}

static void permissions(void)
{
    mkdir("p", 0700);
    close(creat("p/in", 0666));
    close(creat("secret", 0600));
    close(creat("shared", 0664));
    chown("shared", 0, 1000);
    mkdir("sticky", 0777);
    chmod("sticky", 01777);
    close(creat("sticky/root", 0666));
    mkdir("mine", 0755);
    chown("mine", 1000, 1000);
    SHOW(access("secret", R_OK | W_OK));
    SHOW(access("secret", X_OK));
    SHOW(access("p", X_OK));
    SHOW(access("none", F_OK));
    SHOW(access("secret", 8));
    gid_t group = 1000;
    SHOW(syscall(SYS_setgroups, 1, &group));
    SHOW(setegid(1001));
    SHOW(seteuid(1001));
    SHOW(open("secret", O_RDONLY));
    SHOW(open("p/in", O_RDONLY));
    SHOW(open("shared", O_RDWR) >= 0);
    SHOW(access("secret", R_OK));
    SHOW(faccessat(AT_FDCWD, "secret", R_OK, AT_EACCESS));
    SHOW(open("newfile", O_CREAT | O_WRONLY, 0644));
    SHOW(mkdir("newdir", 0755));
    SHOW(unlink("secret"));
    SHOW(unlink("sticky/root"));
    SHOW(rename("sticky/root", "sticky/other"));
    SHOW(close(creat("sticky/mine", 0644)));
    SHOW(unlink("sticky/mine"));
    SHOW(chmod("shared", 0666));
    SHOW(chown("shared", 1001, -1));
    SHOW(utimes("shared", NULL));
    struct timeval tv[2] = {{1, 0}, {1, 0}};
    SHOW(utimes("shared", tv));
    SHOW(utimes("secret", NULL));
    SHOW(truncate("secret", 0));
    SHOW(seteuid(0));
    SHOW(setegid(1000));
    SHOW(seteuid(1000));
    SHOW(close(creat("mine/f", 0644)));
    look("mine/f");
    SHOW(chown("mine/f", 1000, 1000));
    SHOW(chown("mine/f", -1, 1001));
    SHOW(chown("mine/f", 0, -1));
    SHOW(chmod("mine/f", 02755));
    look("mine/f");
    SHOW(open("mine/f", O_RDONLY | O_NOATIME) >= 0);
    SHOW(open("shared", O_RDONLY | O_NOATIME));
    SHOW(mknod("mine/dev", S_IFCHR | 0600, 0x103));
    SHOW(seteuid(0));
}

int main(void)
{
    umask(022);
    mkdir("fs_attr", 0755);
    if (chdir("fs_attr") < 0)
        return 1;
    modes();
    set_id_bits();
    change_times();
    permissions();
    return 0;
}
