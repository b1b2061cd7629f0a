/*
 * Shared memory between a master and its children: memfds, made by the master.
 */
#ifndef TK_OS_SHM_H
#define TK_OS_SHM_H

#include "takhin/base.h"

/* A memfd of size_bytes, sealed against growing and shrinking, close-on-exec; or -errno. */
int tk_shm_new(const char *name, size_t size_bytes);

/* A second descriptor of the same memory that can only be read; or -errno. */
int tk_shm_readonly(int fd);

/* Maps size_bytes of fd from offset, kept out of core dumps; 0 or -errno. */
int tk_shm_map(int fd, int64_t offset, size_t size_bytes, bool writable, void **ret_at);

void tk_shm_unmap(void *at, size_t size_bytes);

/* Gives the pages of a range back to the system; what is read there next is zeros. */
void tk_shm_release(int fd, int64_t offset, int64_t len);

#endif
