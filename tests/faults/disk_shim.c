/* A disk in trouble, for one process: LD_PRELOAD this and set
 *   SHIM_NAME    part of the paths it is about
 *   SHIM_CALL    `write` or `sync`: which calls are in trouble
 *   SHIM_AFTER   how many of them go well first
 *   SHIM_ERRNO   what the others fail with; 0: they are only slow
 *   SHIM_TIMES   how many are in trouble (all that follow when absent)
 *   SHIM_SLEEP_MS  how long each of those takes
 *   SHIM_GATE    a file: until it exists there is no trouble
 *   SHIM_LOG     a file that gets a line for every such call: `write`, `sync` or `failed`, and the path
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;

static int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

/* 0 when the call may go on, else the errno it fails with */
static int trouble(const char *call, int fd) {
    const char *name = getenv("SHIM_NAME"), *log = getenv("SHIM_LOG"), *gate = getenv("SHIM_GATE");
    char link[64], path[4096];
    if (!name) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (!strstr(path, name)) return 0;
    int fails = 0;
    int open_ = !gate || access(gate, F_OK) == 0;
    if (open_ && !strcmp(call, getenv("SHIM_CALL") ? getenv("SHIM_CALL") : "")) {
        int number = atomic_fetch_add(&calls, 1) - setting("SHIM_AFTER", 0);
        if (number >= 0 && number < setting("SHIM_TIMES", 1 << 30)) {
            usleep(1000 * setting("SHIM_SLEEP_MS", 0));
            fails = setting("SHIM_ERRNO", 0);
        }
    }
    if (log) {
        char line[4200];
        int size = snprintf(line, sizeof line, "%s %s\n", fails ? "failed" : call, path);
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (out >= 0) {
            syscall(SYS_write, out, line, size);
            close(out);
        }
    }
    return fails;
}

#define CHECKED(call, fd)                      \
    int fails = trouble(call, fd);             \
    if (fails) {                               \
        errno = fails;                         \
        return -1;                             \
    }

ssize_t write(int fd, const void *data, size_t size) {
    CHECKED("write", fd)
    return syscall(SYS_write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    CHECKED("write", fd)
    return syscall(SYS_pwrite64, fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    CHECKED("write", fd)
    return syscall(SYS_pwrite64, fd, data, size, at);
}

int fsync(int fd) {
    CHECKED("sync", fd)
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    CHECKED("sync", fd)
    return syscall(SYS_fdatasync, fd);
}
