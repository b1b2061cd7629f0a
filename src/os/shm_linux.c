/*
 * Shared memory by memfd_create(2).  The master makes, children map.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/shm.h"

int
tk_shm_new(const char *name, size_t size_bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size_bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -errno;
		(void)close(fd);
		return rc;
	}
	return fd;
}

int
tk_shm_readonly(int fd)
{
	char path[32];
	int copy;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, O_RDONLY | O_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

int
tk_shm_map(int fd, int64_t offset, size_t size_bytes, bool writable, void **ret_at)
{
	int protection = PROT_READ | (writable ? PROT_WRITE : 0);
	void *at = mmap(NULL, size_bytes, protection, MAP_SHARED, fd, offset);

	if (at == MAP_FAILED)
		return -errno;
	(void)madvise(at, size_bytes, MADV_DONTDUMP);
	*ret_at = at;
	return 0;
}

void
tk_shm_unmap(void *at, size_t size_bytes)
{
	if (at != NULL)
		(void)munmap(at, size_bytes);
}

void
tk_shm_release(int fd, int64_t offset, int64_t len)
{
	(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
}
