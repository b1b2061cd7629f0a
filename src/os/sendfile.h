/*
 * From a file to a socket without user space.
 */
#ifndef TK_OS_SENDFILE_H
#define TK_OS_SENDFILE_H

#include <sys/types.h>

#include "takhin/base.h"

/*
 * Sends at most count bytes of file from offset; returns how many left, 0 where the file ends
 * before, or -errno: -EAGAIN the socket is full, -EINVAL, -ENOSYS or -EOPNOTSUPP where this pair of
 * descriptors cannot do it.  Interrupted calls are taken up again.  sendfile(2).
 */
ssize_t tk_sendfile(int socket_fd, int file_fd, int64_t offset, size_t count);

#endif
