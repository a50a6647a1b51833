/* Preloaded: lets one system call of one process fail with an error of the disk while an order for it lies in a file.
   The order is "PID CALL ERRNO"; its place is in FAILING_DISK. Writes and fsyncs fail on captures only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_capture(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 5)
        return 0;
    path[length] = 0;
    return strcmp(path + length - 5, ".tcap") == 0;
}

static int ordered(const char *call)
{
    char text[128] = "", name[32] = "";
    int pid = 0, number = 0, saved = errno;
    const char *place = getenv("FAILING_DISK");
    int file = place ? open(place, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        if (length <= 0 || sscanf(text, "%d %31s %d", &pid, name, &number) != 3)
            number = 0;
    }
    errno = saved;
    return pid == getpid() && strcmp(name, call) == 0 ? number : 0;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    int number = ordered("writev");
    if (number && is_capture(fd)) {
        errno = number;
        return -1;
    }
    return ((ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev"))(fd, pieces, count);
}

int fsync(int fd)
{
    int number = ordered("fsync");
    if (number && is_capture(fd)) {
        errno = number;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int syncfs(int fd)
{
    int number = ordered("syncfs");
    if (number) {
        errno = number;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "syncfs"))(fd);
}
