/*
 * Allocations that fail, for test_no_memory.sh: LD_PRELOAD this.  The file $TK_NO_MEMORY holds two
 * int32_t, a process id and a count: the count-th allocation of that process from now on fails, and
 * the count is 0 then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static volatile int32_t *state;

__attribute__((constructor)) static void
state_map(void)
{
	const char *path = getenv("TK_NO_MEMORY");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = MAP_FAILED;

	if (fd >= 0)
		at = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		state = at;
	(void)close(fd);
}

static int
fails(void)
{
	if (state == NULL || state[1] <= 0 || state[0] != getpid())
		return 0;
	state[1]--;
	if (state[1] > 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (fails())
		return ENOMEM;
	*ret = __libc_memalign(alignment, size);
	return *ret == NULL ? ENOMEM : 0;
}
