/*
 * The zone file: records of partitions in shared memory.
 *
 * Written by the writer process of the directory, read by all.  Synchronised by the sequence number
 * of each record alone; see zone.h.  The file is sparse and as large as its slots could ever be;
 * memory is made real slot by slot, so that running out of it is an error of tk_zone_reserve() and
 * never a fault in a reader.
 */
#include "log/zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"

#define HEADER_BYTES ((size_t)4096)
#define ZONE_BYTES   (HEADER_BYTES + TK_ZONE_SLOTS_MAX * sizeof(struct tk_part_record))
#define STATE_WORDS  (sizeof(struct tk_part_state) / sizeof(uint64_t))
/* Slots made real at once: 64 KiB. */
#define RESERVE_SLOTS 128u

static const uint8_t zone_magic[8] = { 'T', 'K', 'Z', 'O', 'N', 'E', '\0', '\1' };

struct tk_zone {
	uint8_t *map;
	int fd;
	bool writable;
	uint32_t reserved; /* slots whose memory is real; writer */
};

_Static_assert(sizeof(struct tk_zone_header) <= 4096, "one page");
_Static_assert(sizeof(struct tk_part_state) % sizeof(uint64_t) == 0, "copied word by word");

static struct tk_part_record *
zone_record(const struct tk_zone *zone, uint32_t slot)
{
	return (struct tk_part_record *)(void *)(zone->map + HEADER_BYTES) + slot;
}

struct tk_zone_header *
tk_zone_header(struct tk_zone *zone)
{
	return (struct tk_zone_header *)(void *)zone->map;
}

uint32_t
tk_zone_slot_mark(const struct tk_zone *zone)
{
	const struct tk_zone_header *header = (const void *)zone->map;
	uint32_t mark = __atomic_load_n(&header->slot_mark, __ATOMIC_ACQUIRE);

	return TK_MIN(mark, TK_ZONE_SLOTS_MAX);
}

static int
zone_map(int fd, bool writable, struct tk_zone **ret_zone)
{
	struct tk_zone *zone;
	void *map;

	zone = calloc(1, sizeof(*zone));
	if (zone == NULL)
		return -ENOMEM;
	map = mmap(NULL, ZONE_BYTES, writable ? PROT_READ | PROT_WRITE : PROT_READ,
	    MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED) {
		int rc = -errno;

		free(zone);
		return rc;
	}
	(void)madvise(map, ZONE_BYTES, MADV_DONTDUMP);
	zone->map = map;
	zone->fd = fd;
	zone->writable = writable;
	*ret_zone = zone;
	return 0;
}

/* A zone of our layout: 0; of another or none at all: -ESTALE. */
static int
zone_check(int fd)
{
	struct tk_zone_header header;
	struct tk_file_info info;
	int rc;

	rc = tk_file_stat_fd(fd, &info);
	if (rc < 0)
		return rc;
	if (info.size_bytes != (int64_t)ZONE_BYTES)
		return -ESTALE;
	rc = tk_file_pread_full(fd, &header, sizeof(header), 0);
	if (rc < 0)
		return rc;
	if (memcmp(header.magic, zone_magic, sizeof(zone_magic)) != 0 ||
	    header.version != TK_ZONE_VERSION || header.slot_mark > TK_ZONE_SLOTS_MAX)
		return -ESTALE;
	return 0;
}

/* Makes a new zone under a temporary name first, so that nobody ever opens half of one. */
static int
zone_make(int run_dir_fd, const char *name, int *ret_fd)
{
	struct tk_zone_header header = { .version = TK_ZONE_VERSION };
	char temporary[256];
	int fd, rc;

	if (snprintf(temporary, sizeof(temporary), "%s.new", name) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	memcpy(header.magic, zone_magic, sizeof(zone_magic));
	rc = tk_file_open(run_dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC, 0640, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_truncate(fd, (int64_t)ZONE_BYTES);
	if (rc == 0)
		rc = tk_file_pwrite(fd, &header, sizeof(header), 0);
	if (rc == 0)
		rc = tk_file_rename(run_dir_fd, temporary, name);
	if (rc < 0) {
		tk_file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int
tk_zone_open(int run_dir_fd, const char *name, struct tk_zone **ret_zone)
{
	int fd = -1, rc;

	rc = tk_file_open(run_dir_fd, name, O_RDWR, 0, &fd);
	if (rc == 0)
		rc = zone_check(fd);
	if (rc == -ENOENT || rc == -ESTALE) {
		tk_file_close(&fd);
		rc = zone_make(run_dir_fd, name, &fd);
	}
	if (rc == 0)
		rc = zone_map(fd, true, ret_zone);
	if (rc < 0) {
		tk_file_close(&fd);
		return rc;
	}
	(*ret_zone)->reserved = tk_zone_slot_mark(*ret_zone);
	return 0;
}

int
tk_zone_open_readonly(int run_dir_fd, const char *name, struct tk_zone **ret_zone)
{
	int fd = -1, rc;

	rc = tk_file_open(run_dir_fd, name, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = zone_check(fd);
	if (rc == 0)
		rc = zone_map(fd, false, ret_zone);
	if (rc < 0)
		tk_file_close(&fd);
	return rc;
}

void
tk_zone_close(struct tk_zone **zone)
{
	if (*zone == NULL)
		return;
	(void)munmap((*zone)->map, ZONE_BYTES);
	tk_file_close(&(*zone)->fd);
	free(*zone);
	*zone = NULL;
}

int
tk_zone_reserve(struct tk_zone *zone, uint32_t slot)
{
	struct tk_zone_header *header = tk_zone_header(zone);
	uint32_t upto;
	int rc;

	tk_assert(zone->writable);
	if (slot >= TK_ZONE_SLOTS_MAX)
		return -ENOSPC;
	if (slot >= zone->reserved) {
		const size_t from = HEADER_BYTES + zone->reserved * sizeof(struct tk_part_record);

		upto = TK_ALIGN_UP(slot + 1, RESERVE_SLOTS);
		do
			rc = fallocate(zone->fd, 0, (off_t)from,
			    (off_t)((upto - zone->reserved) * sizeof(struct tk_part_record)));
		while (rc < 0 && errno == EINTR);
		if (rc < 0)
			return -errno;
		zone->reserved = upto;
	}
	if (slot >= header->slot_mark)
		__atomic_store_n(&header->slot_mark, slot + 1, __ATOMIC_RELEASE);
	return 0;
}

void
tk_zone_publish(struct tk_zone *zone, uint32_t slot, const struct tk_part_state *state)
{
	struct tk_part_record *record = zone_record(zone, slot);
	uint64_t words[STATE_WORDS];
	uint64_t seq = record->seq;
	uint64_t *to;

	tk_assert(zone->writable && slot < tk_zone_slot_mark(zone));
	memcpy(words, state, sizeof(words));
	to = (uint64_t *)(void *)&record->buffer[(seq + 1) & 1];
	/* What is filled now was the buffer of seq - 1: nobody may see it change before seq. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < STATE_WORDS; i++)
		__atomic_store_n(&to[i], words[i], __ATOMIC_RELAXED);
	__atomic_store_n(&record->seq, seq + 1, __ATOMIC_RELEASE);
}

bool
tk_zone_read(
    const struct tk_zone *zone, uint32_t slot, struct tk_part_state *ret_state, uint64_t *ret_seq)
{
	const struct tk_part_record *record;
	uint64_t words[STATE_WORDS];
	uint64_t seq, again;

	if (slot >= tk_zone_slot_mark(zone))
		return false;
	record = zone_record(zone, slot);
	do {
		const uint64_t *from;

		seq = __atomic_load_n(&record->seq, __ATOMIC_ACQUIRE);
		from = (const uint64_t *)(const void *)&record->buffer[seq & 1];
		for (size_t i = 0; i < STATE_WORDS; i++)
			words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		again = __atomic_load_n(&record->seq, __ATOMIC_RELAXED);
	} while (again != seq);
	memcpy(ret_state, words, sizeof(words));
	if (ret_seq != NULL)
		*ret_seq = seq;
	return true;
}

void
tk_zone_forget(struct tk_zone *zone)
{
	static const struct tk_part_state none;

	for (uint32_t slot = 0; slot < tk_zone_slot_mark(zone); slot++)
		tk_zone_publish(zone, slot, &none);
}
