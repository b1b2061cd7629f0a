/*
 * sendfile(2) of Linux, which moves at most 2 GiB less a page a call.
 */
#include <sys/sendfile.h>

#include "os/sendfile.h"

#define CALL_MAX ((size_t)0x7ffff000)

ssize_t
tk_sendfile(int socket_fd, int file_fd, int64_t offset, size_t count)
{
	off_t at = offset;
	ssize_t n;

	do {
		n = sendfile(socket_fd, file_fd, &at, TK_MIN(count, CALL_MAX));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
