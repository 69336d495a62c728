/* Counts the file operations of a process and its children that change anything in one folder, and injects a fault at one.

   Loaded by LD_PRELOAD. The environment says where and what:
     INJECT_FOLDER   operations on paths that begin with it count
     INJECT_SHARED   a file of 32 bytes, mapped by all processes: the count, the main process, whether the fault was made
     INJECT_AT       the number of the operation, from 1; 0 only counts
     INJECT_FAULT    kill-before, kill-after, torn, EIO, ENOSPC, SIGTERM, or delay (of a second)
     INJECT_LOG      a file to which each operation is appended, where it is set
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct shared {
    _Atomic uint64_t count;
    _Atomic uint64_t main_process;
    _Atomic uint64_t made;
    _Atomic uint64_t unused;
};

static struct shared *shared;
static const char *folder, *fault, *log_path;
static size_t folder_length;
static uint64_t at;

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("INJECT_SHARED");
    folder = getenv("INJECT_FOLDER");
    fault = getenv("INJECT_FAULT");
    log_path = getenv("INJECT_LOG");
    if (!path || !folder || !fault) return;
    folder_length = strlen(folder);
    at = getenv("INJECT_AT") ? strtoull(getenv("INJECT_AT"), NULL, 10) : 0;
    int descriptor = REAL(open)(path, O_RDWR);
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    REAL(close)(descriptor);
    if (mapped == MAP_FAILED) return;
    shared = mapped;
    uint64_t none = 0;
    atomic_compare_exchange_strong(&shared->main_process, &none, (uint64_t)getpid());
}

static int counts(const char *path) { return shared && path && strncmp(path, folder, folder_length) == 0; }

static int counts_descriptor(int descriptor, char *path, size_t size) {
    char link[64];
    if (!shared || descriptor < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return counts(path);
}

/* Returns whether the fault falls on this operation; logs it. */
static int falls(const char *what, const char *path) {
    int kept = errno;
    uint64_t number = atomic_fetch_add(&shared->count, 1) + 1;
    if (log_path) {
        char line[512];
        int length = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)number, what, path + folder_length);
        int descriptor = REAL(open)(log_path, O_WRONLY | O_APPEND | O_CREAT, 0600);
        if (descriptor >= 0) {
            ssize_t written = REAL(write)(descriptor, line, (size_t)length);
            (void)written;
            REAL(close)(descriptor);
        }
    }
    errno = kept;
    return at && number == at;
}

static void kill_main(void) {
    atomic_store(&shared->made, 1);
    pid_t main_process = (pid_t)atomic_load(&shared->main_process);
    kill(main_process, SIGKILL);
    if (main_process == getpid()) pause();
}

static int is(const char *name) { return strcmp(fault, name) == 0; }

/* What happens before the operation; returns whether it fails instead. */
static int before(void) {
    if (is("kill-before")) kill_main();
    if (is("SIGTERM")) {
        atomic_store(&shared->made, 1);
        kill((pid_t)atomic_load(&shared->main_process), SIGTERM);
    }
    if (is("delay")) {
        struct timespec second = {1, 0};
        atomic_store(&shared->made, 1);
        nanosleep(&second, NULL);
    }
    if (is("EIO") || is("ENOSPC")) {
        atomic_store(&shared->made, 1);
        errno = is("EIO") ? EIO : ENOSPC;
        return 1;
    }
    if (strncmp(fault, "errno-", 6) == 0) {
        atomic_store(&shared->made, 1);
        errno = atoi(fault + 6);
        return 1;
    }
    return 0;
}

static void after(void) {
    if (is("kill-after") || is("torn")) kill_main();
}

#define AROUND(type, failed, what, path, call)            \
    do {                                                  \
        if (!falls(what, path)) return call;              \
        if (before()) return (type)(failed);              \
        type result = call;                               \
        after();                                          \
        return result;                                    \
    } while (0)

#define BY_DESCRIPTOR(type, what, descriptor, call)                                  \
    do {                                                                             \
        char path[4096];                                                             \
        if (!counts_descriptor(descriptor, path, sizeof path)) return call;          \
        AROUND(type, -1, what, path, call);                                          \
    } while (0)

#define BY_PATH(what, path, call)                \
    do {                                         \
        if (!counts(path)) return call;          \
        AROUND(int, -1, what, path, call);       \
    } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path)) return REAL(write)(fd, data, size);
    AROUND(ssize_t, -1, "write", path, REAL(write)(fd, data, is("torn") ? size / 2 : size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path)) return REAL(pwrite)(fd, data, size, offset);
    if (!falls("pwrite", path)) return REAL(pwrite)(fd, data, size, offset);
    if (before()) return -1;
    ssize_t result = REAL(pwrite)(fd, data, is("torn") ? size / 2 : size, offset);
    after();
    return result;
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }

/* A file system without locks: every flock in the folder fails. */
int flock(int fd, int operation) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path) || strncmp(fault, "flock-", 6) != 0) return REAL(flock)(fd, operation);
    errno = atoi(fault + 6);
    return -1;
}

int fsync(int fd) { BY_DESCRIPTOR(int, "fsync", fd, REAL(fsync)(fd)); }
int fdatasync(int fd) { BY_DESCRIPTOR(int, "fdatasync", fd, REAL(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { BY_DESCRIPTOR(int, "ftruncate", fd, REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t size) {
    BY_DESCRIPTOR(int, "fallocate", fd, REAL(fallocate)(fd, mode, offset, size));
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }
int posix_fallocate(int fd, off_t offset, off_t size) {
    char path[4096];
    if (!counts_descriptor(fd, path, sizeof path)) return REAL(posix_fallocate)(fd, offset, size);
    AROUND(int, errno, "posix_fallocate", path, REAL(posix_fallocate)(fd, offset, size));
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    BY_DESCRIPTOR(ssize_t, "copy_file_range", out, REAL(copy_file_range)(in, from, out, to, size, flags));
}
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    ssize_t (*real)(int, int, off_t *, size_t) = (ssize_t(*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile");
    BY_DESCRIPTOR(ssize_t, "sendfile", out, real(out, in, offset, size));
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) { return sendfile(out, in, (off_t *)offset, size); }

int rename(const char *from, const char *to) { BY_PATH("rename", to, REAL(rename)(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { BY_PATH("rename", to, REAL(renameat)(a, from, b, to)); }
int link(const char *from, const char *to) { BY_PATH("link", to, REAL(link)(from, to)); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    BY_PATH("link", to, REAL(linkat)(a, from, b, to, flags));
}
int unlink(const char *path) { BY_PATH("unlink", path, REAL(unlink)(path)); }
int unlinkat(int at_, const char *path, int flags) { BY_PATH("unlink", path, REAL(unlinkat)(at_, path, flags)); }
int mkdir(const char *path, mode_t mode) { BY_PATH("mkdir", path, REAL(mkdir)(path, mode)); }
int rmdir(const char *path) { BY_PATH("rmdir", path, REAL(rmdir)(path)); }
int truncate(const char *path, off_t size) { BY_PATH("truncate", path, REAL(truncate)(path, size)); }

#define OPENED(name, call)                                                   \
    do {                                                                     \
        mode_t mode = 0;                                                     \
        if (flags & (O_CREAT | O_TMPFILE)) {                                 \
            va_list rest;                                                    \
            va_start(rest, flags);                                           \
            mode = va_arg(rest, mode_t);                                     \
            va_end(rest);                                                    \
        }                                                                    \
        if (!(flags & (O_CREAT | O_TRUNC)) || !counts(path)) return call;    \
        AROUND(int, -1, name, path, call);                                   \
    } while (0)

int open(const char *path, int flags, ...) { OPENED("open", REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENED("open", REAL(open64)(path, flags, mode)); }
int openat(int at_, const char *path, int flags, ...) { OPENED("open", REAL(openat)(at_, path, flags, mode)); }
int openat64(int at_, const char *path, int flags, ...) { OPENED("open", REAL(openat64)(at_, path, flags, mode)); }
