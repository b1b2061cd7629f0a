/*
 * What takhin-dump writes: indexes of closed segments anew (--rebuild), and the good batches of a
 * damaged segment into a new file (--export).
 *
 * Indexes are made under a temporary name, synced and renamed, while the lock of the data directory
 * is held; a broker that starts meanwhile waits or gives up, and removes what a crash leaves.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/index.h"
#include "log/logdir_private.h"
#include "log/segment.h"
#include "tools/takhin_dump.h"

#define INTERVAL_BYTES 4096 /* Kafka's and our default: any is right */
#define COPY_BYTES     ((size_t)1 << 20)

struct rebuild {
	int dir_fd;
	char log_path[64];
	char paths[2][64], tmp_paths[2][64];
	struct tk_index index;
};

static int
feed(struct rebuild *rebuild, int fd)
{
	struct tk_index_run *run = calloc(1, sizeof(*run));
	struct tk_file_info info;
	struct tk_salvage walk = { .piece = NULL };
	struct tk_salvage_step step;
	int rc = run == NULL ? -ENOMEM : tk_file_stat_fd(fd, &info);

	if (rc == 0)
		rc = tk_salvage_begin(&walk, fd, info.size_bytes, rebuild->index.base_offset,
		    rebuild->index.base_offset);
	while (rc == 0) {
		rc = tk_salvage_next(&walk, &step);
		if (rc < 0 || step.kind == TK_SALVAGE_END)
			break;
		if (step.kind != TK_SALVAGE_GOOD || step.position > INT32_MAX)
			continue;
		tk_index_add(&rebuild->index, run, INTERVAL_BYTES, &step.header, step.position);
		if (run->offset_count == TK_INDEX_RUN_MAX)
			rc = tk_index_flush(&rebuild->index, run);
	}
	if (rc == 0)
		rc = tk_index_flush(&rebuild->index, run);
	if (rc == 0)
		rc = tk_index_seal(&rebuild->index);
	tk_salvage_end(&walk);
	free(run);
	return rc;
}

static int
put_in_place(struct rebuild *rebuild)
{
	int rc = tk_file_sync(rebuild->index.offset_fd);

	if (rc == 0)
		rc = tk_file_sync(rebuild->index.time_fd);
	for (size_t i = 0; i < TK_COUNT_OF(rebuild->paths) && rc == 0; i++)
		rc = tk_file_rename(rebuild->dir_fd, rebuild->tmp_paths[i], rebuild->paths[i]);
	return rc == 0 ? tk_file_sync_dir(rebuild->dir_fd, ".") : rc;
}

static int
open_new(struct rebuild *rebuild, int64_t base_offset)
{
	static const char *const suffixes[] = { ".index", ".timeindex" };
	int *const fds[] = { &rebuild->index.offset_fd, &rebuild->index.time_fd };
	int rc = 0;

	rebuild->index = (struct tk_index)TK_INDEX_CLOSED;
	rebuild->index.base_offset = rebuild->index.max_timestamp_offset = base_offset;
	rebuild->index.max_timestamp = rebuild->index.last_time = rebuild->index.written_time = -1;
	for (size_t i = 0; i < TK_COUNT_OF(fds) && rc == 0; i++) {
		(void)snprintf(rebuild->paths[i], sizeof(rebuild->paths[i]), "%020" PRId64 "%s",
		    base_offset, suffixes[i]);
		(void)snprintf(rebuild->tmp_paths[i], sizeof(rebuild->tmp_paths[i]),
		    "%020" PRId64 "%s.tmp", base_offset, suffixes[i]);
		rc = tk_file_open(rebuild->dir_fd, rebuild->tmp_paths[i],
		    O_RDWR | O_CREAT | O_TRUNC, 0640, fds[i]);
	}
	return rc;
}

/* The broker has to read them, who may be another user than the one that repairs. */
static int
own_as(const struct rebuild *rebuild, int log_fd)
{
	const int fds[] = { rebuild->index.offset_fd, rebuild->index.time_fd };
	struct stat st;

	if (fstat(log_fd, &st) < 0)
		return -errno;
	for (size_t i = 0; i < TK_COUNT_OF(fds); i++)
		if (fchown(fds[i], st.st_uid, st.st_gid) < 0 ||
		    fchmod(fds[i], st.st_mode & 0777) < 0)
			return -errno;
	return 0;
}

static int
rebuild_segment(int dir_fd, int64_t base_offset)
{
	struct rebuild rebuild = { .dir_fd = dir_fd };
	int fd = -1, rc;

	(void)snprintf(
	    rebuild.log_path, sizeof(rebuild.log_path), "%020" PRId64 ".log", base_offset);
	rc = open_new(&rebuild, base_offset);
	if (rc == 0)
		rc = tk_file_open(dir_fd, rebuild.log_path, O_RDONLY, 0, &fd);
	if (rc == 0)
		rc = own_as(&rebuild, fd);
	if (rc == 0)
		rc = feed(&rebuild, fd);
	if (rc == 0)
		rc = put_in_place(&rebuild);
	for (size_t i = 0; i < TK_COUNT_OF(rebuild.tmp_paths) && rc < 0; i++) {
		int cleanup = tk_file_unlink(dir_fd, rebuild.tmp_paths[i]);

		(void)cleanup; /* the next start of a broker removes it */
	}
	tk_index_close(&rebuild.index);
	tk_file_close(&fd);
	return rc;
}

/* All but the last segment: a broker completes its indexes itself when it opens it. */
static int
rebuild_partition(struct dump *dump, int dir_fd, const char *path)
{
	struct tk_segment_list list;
	int rc = tk_segment_list_read(dir_fd, ".", &list);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i + 1 < list.count && rc == 0; i++) {
		int64_t base_offset = list.items[i].info.base_offset;

		if (base_offset > INT64_MAX - INT32_MAX - 1)
			continue; /* no offset at all */
		rc = rebuild_segment(dir_fd, base_offset);
		if (rc == 0)
			(void)fprintf(
			    dump->out, "%s/%020" PRId64 ": indexes made anew\n", path, base_offset);
	}
	tk_segment_list_free(&list);
	return rc;
}

static int
rebuild_child(struct dump *dump, int dir_fd, const char *path, const char *name)
{
	char child[DUMP_PATH_MAX];
	struct tk_file_info info;
	int fd, rc;

	if (name[0] == '.' || strrchr(name, '-') == NULL || tk_file_stat(dir_fd, name, &info) < 0 ||
	    !info.is_directory)
		return 0;
	(void)snprintf(child, sizeof(child), "%s/%s", path, name);
	rc = tk_file_open(dir_fd, name, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc == 0)
		rc = rebuild_partition(dump, fd, child);
	tk_file_close(&fd);
	return rc;
}

static int
rebuild_data_directory(struct dump *dump, int dir_fd, const char *path)
{
	const struct dirent *entry;
	DIR *dir;
	int fd, rc;

	rc = tk_file_open(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		rc = rebuild_child(dump, dir_fd, path, entry->d_name);
	(void)closedir(dir);
	return rc;
}

int
dump_rebuild(struct dump *dump, const char *path)
{
	struct tk_log_problem problem;
	struct tk_file_info info;
	int fd, data_fd = -1, lock_fd = -1, rc;
	bool whole;

	rc = tk_file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	whole = tk_file_stat(fd, "meta.properties", &info) == 0;
	rc = tk_file_open(fd, whole ? "." : "..", O_RDONLY | O_DIRECTORY, 0, &data_fd);
	if (rc == 0)
		rc = tk_file_stat(data_fd, "meta.properties", &info);
	if (rc == 0 && tk_logdir_lock(data_fd, path, 0, &lock_fd, &problem) < 0) {
		dump_find(dump, path, "nothing was rebuilt: %s", problem.text);
		goto out;
	}
	if (rc == 0)
		rc = whole ? rebuild_data_directory(dump, fd, path)
			   : rebuild_partition(dump, fd, path);
out:
	tk_file_close(&lock_fd);
	tk_file_close(&data_fd);
	tk_file_close(&fd);
	return rc;
}

static int
copy_bytes(int from, int64_t at, int64_t bytes, int to, int64_t *to_at)
{
	uint8_t *piece = malloc(COPY_BYTES);
	int rc = piece == NULL ? -ENOMEM : 0;

	while (bytes > 0 && rc == 0) {
		size_t n = (size_t)TK_MIN((int64_t)COPY_BYTES, bytes);

		rc = tk_file_pread_full(from, piece, n, at);
		if (rc == 0)
			rc = tk_file_pwrite(to, piece, n, *to_at);
		at += (int64_t)n;
		*to_at += (int64_t)n;
		bytes -= (int64_t)n;
	}
	free(piece);
	return rc;
}

static int
export_batches(struct dump *dump, const char *path, int from, int to)
{
	int64_t written = 0, batches = 0, left_out = 0;
	struct tk_salvage walk = { .piece = NULL };
	struct tk_salvage_step step;
	struct tk_file_info info;
	int rc = tk_file_stat_fd(from, &info);

	if (rc == 0)
		rc = tk_salvage_begin(&walk, from, info.size_bytes, -1, 0);
	while (rc == 0) {
		rc = tk_salvage_next(&walk, &step);
		if (rc < 0 || step.kind == TK_SALVAGE_END)
			break;
		if (step.kind == TK_SALVAGE_GOOD) {
			rc = copy_bytes(from, step.position, step.bytes, to, &written);
			batches++;
			continue;
		}
		left_out += step.bytes;
		(void)fprintf(dump->out,
		    "%s: %" PRId64 " bytes at position %" PRId64 " are left out\n", path,
		    step.bytes, step.position);
	}
	tk_salvage_end(&walk);
	if (rc == 0)
		rc = tk_file_sync(to);
	if (rc == 0)
		(void)fprintf(dump->out,
		    "%s: %" PRId64 " batches, %" PRId64 " bytes exported; %" PRId64 " left out\n",
		    path, batches, written, left_out);
	return rc;
}

int
dump_export(struct dump *dump, const char *path, const char *to)
{
	int from, to_fd, rc;

	rc = tk_file_open(AT_FDCWD, path, O_RDONLY, 0, &from);
	if (rc < 0)
		return rc;
	rc = tk_file_open(AT_FDCWD, to, O_WRONLY | O_CREAT | O_EXCL, 0640, &to_fd);
	if (rc < 0) {
		tk_file_close(&from);
		dump_find(dump, to, "it could not be made: %s", strerror(-rc));
		return 0;
	}
	rc = export_batches(dump, path, from, to_fd);
	tk_file_close(&to_fd);
	tk_file_close(&from);
	if (rc < 0)
		(void)unlink(to);
	return rc;
}
