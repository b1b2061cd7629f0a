/*
 * A disk that freezes, for test_frozen_disk.sh: LD_PRELOAD this, and every change of a file below
 * $TK_FROZEN_DIR waits for as long as a file of that name with ".frozen" behind it is there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void
wait_for_disk(int fd)
{
	const char *dir = getenv("TK_FROZEN_DIR");
	char link[64], path[4096], flag[4096];
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (dir == NULL || len <= 0)
		return;
	path[len] = '\0';
	if (strncmp(path, dir, strlen(dir)) != 0 || path[strlen(dir)] != '/')
		return;
	(void)snprintf(flag, sizeof(flag), "%s.frozen", dir);
	while (access(flag, F_OK) == 0)
		(void)usleep(2000);
}

#define FROZEN(result, name, parameters, arguments)                                                \
	result name parameters                                                                     \
	{                                                                                          \
		result(*real) parameters = (result(*) parameters)dlsym(RTLD_NEXT, #name);          \
                                                                                                   \
		wait_for_disk(fd);                                                                 \
		return real arguments;                                                             \
	}

/* clang-format off */
FROZEN(ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at))
FROZEN(ssize_t, pwritev64, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at))
FROZEN(int, ftruncate, (int fd, off_t len), (fd, len))
FROZEN(int, ftruncate64, (int fd, off64_t len), (fd, len))
FROZEN(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
FROZEN(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), (fd, mode, at, len))
FROZEN(int, sync_file_range, (int fd, off64_t at, off64_t len, unsigned flags), (fd, at, len, flags))
FROZEN(int, fsync, (int fd), (fd))
FROZEN(int, fdatasync, (int fd), (fd))
