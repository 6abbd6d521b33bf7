/*
 * LD_PRELOAD library: logs the process's writes, truncations, syncs and removals, in order, to the
 * file WRITE_LOG. Covers files whose path begins with WRITE_LOG_OF, a database or a folder with a
 * trailing slash. Skips SQLite's shared memory and the lock file, which do not survive a crash.
 * A record is: operation, file, offset or size, length, data.
 * WRITE_LOG_DROP_SYNCS: syncs are executed but not logged, as on a disk that ignores flushes.
 * WRITE_LOG_FAIL_SYNCS: syncs fail while a file with this path exists.
 * WRITE_LOG_FAIL_WRITES: the same for writes after the first N, where N is the file's size.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, SYNC = 3, ACKNOWLEDGE = 4, REMOVE = 5 };
enum { DATABASE = 1, WAL = 2, JOURNAL = 3 };

struct record {
  int32_t operation;
  int32_t file;
  int64_t offset;
  int64_t length;
};

static char file_of[65536];
static int log_fd = -1;

static void put(int32_t operation, int32_t file, int64_t offset, const void *data, int64_t length) {
  if (log_fd < 0) {
    const char *path = getenv("WRITE_LOG");
    if (path == NULL) return;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  }
  struct record record = {operation, file, offset, length};
  syscall(SYS_write, log_fd, &record, sizeof record);
  if (length > 0) syscall(SYS_write, log_fd, data, (size_t)length);
}

static int kind_of(const char *path) {
  const char *prefix = getenv("WRITE_LOG_OF");
  if (prefix == NULL || path == NULL || strncmp(path, prefix, strlen(prefix)) != 0) return 0;
  const char *rest = path + strlen(prefix);
  /* The prefix is a folder: covers every database below it. */
  if (prefix[strlen(prefix) - 1] == '/') {
    const char *name = strstr(rest, ".db");
    if (name == NULL) return 0;
    rest = name + strlen(".db");
  }
  if (*rest == '\0') return DATABASE;
  if (strcmp(rest, "-wal") == 0) return WAL;
  if (strcmp(rest, "-journal") == 0) return JOURNAL;
  return 0;
}

static int opened(int fd, const char *path) {
  if (fd >= 0 && fd < (int)sizeof file_of) file_of[fd] = (char)kind_of(path);
  return fd;
}

static int is_ours(int fd) {
  return fd >= 0 && fd < (int)sizeof file_of ? file_of[fd] : 0;
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name)                                  \
  int name(const char *path, int flags, ...) {      \
    va_list arguments;                              \
    va_start(arguments, flags);                     \
    mode_t mode = (mode_t)va_arg(arguments, int);   \
    va_end(arguments);                              \
    NEXT(name);                                     \
    return opened(next(path, flags, mode), path);   \
  }

OPEN(open)
OPEN(open64)

int close(int fd) {
  NEXT(close);
  if (fd >= 0 && fd < (int)sizeof file_of) file_of[fd] = 0;
  return next(fd);
}

/* While the WRITE_LOG_FAIL_WRITES file exists, writes after the first N fail. N is its size. */
static int is_full(int fd) {
  static long passed = 0;
  struct stat fault;
  const char *path = getenv("WRITE_LOG_FAIL_WRITES");
  if (!is_ours(fd) || path == NULL) return 0;
  if (stat(path, &fault) != 0) return passed = 0;
  return passed++ >= fault.st_size;
}

#define PWRITE(name, offset_type)                                                    \
  ssize_t name(int fd, const void *data, size_t length, offset_type offset) {        \
    NEXT(name);                                                                      \
    if (is_full(fd)) {                                                               \
      errno = ENOSPC;                                                                \
      return -1;                                                                     \
    }                                                                                \
    ssize_t written = next(fd, data, length, offset);                                \
    if (written > 0 && is_ours(fd)) put(WRITE, is_ours(fd), offset, data, written);  \
    return written;                                                                  \
  }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE_TO(name, offset_type)                                    \
  int name(int fd, offset_type size) {                                    \
    NEXT(name);                                                           \
    int result = next(fd, size);                                          \
    if (result == 0 && is_ours(fd)) put(TRUNCATE, is_ours(fd), size, NULL, 0); \
    return result;                                                        \
  }

TRUNCATE_TO(ftruncate, off_t)
TRUNCATE_TO(ftruncate64, off64_t)

static int is_failing(int fd) {
  const char *fault = getenv("WRITE_LOG_FAIL_SYNCS");
  return is_ours(fd) && fault != NULL && access(fault, F_OK) == 0;
}

#define SYNC_WITH(name)                                               \
  int name(int fd) {                                                  \
    NEXT(name);                                                       \
    if (is_failing(fd)) {                                             \
      errno = EIO;                                                    \
      return -1;                                                      \
    }                                                                 \
    int result = next(fd);                                            \
    if (result == 0 && is_ours(fd) && getenv("WRITE_LOG_DROP_SYNCS") == NULL) \
      put(SYNC, is_ours(fd), 0, NULL, 0);                             \
    return result;                                                    \
  }

SYNC_WITH(fsync)
SYNC_WITH(fdatasync)

int unlink(const char *path) {
  NEXT(unlink);
  int result = next(path);
  if (result == 0 && kind_of(path)) put(REMOVE, kind_of(path), 0, NULL, 0);
  return result;
}

/* Logs that the process has answered this order id with this status. */
void write_log_acknowledge(int64_t order_id, int32_t status) {
  put(ACKNOWLEDGE, status, order_id, NULL, 0);
}
