/*
 * Opening, keeping and stopping a data directory.  Writer process; see logdir.h.
 */
#include "log/logdir.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/uuid.h"
#include "log/log_private.h"

#define LOCK_WAIT_MS         3000
#define WITH_FILES_MAX       1000
#define CHECKPOINT_EVERY_MS  60000
#define CLEAN_MARKER_TEXT    "{\"version\":0,\"brokerEpoch\":-1}"
#define RECOVERY_THREADS_MAX 64u
#define SYNC_TOGETHER        128u /* partitions */
#define SAVED_PRODUCERS      "producers"

void
tk_logdir_say(struct tk_logdir *dir, enum tk_level level, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	if (dir->note == NULL)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	dir->note(dir->note_arg, level, text);
}

void
tk_log_problem_set(struct tk_log_problem *problem, const char *fmt, ...)
{
	va_list args;

	if (problem == NULL)
		return;
	va_start(args, fmt);
	(void)vsnprintf(problem->text, sizeof(problem->text), fmt, args);
	va_end(args);
}

/*
 * The directory's own name is on the disk before anything in it is worth something.  A parent that
 * we may not open is the administrator's, as is the directory then.
 */
static int
sync_own_name(const struct tk_logdir *dir)
{
	int rc = tk_file_sync_dir(dir->fd, "..");

	return rc == -EACCES || rc == -EPERM ? 0 : rc;
}

static int
make_props(struct tk_logdir *dir, const char *cluster_id)
{
	struct tk_uuid id = tk_uuid_random();
	int rc = sync_own_name(dir);

	if (rc < 0)
		return rc;

	if (cluster_id == NULL)
		tk_uuid_format(&id, dir->props.cluster_id);
	else
		strcpy(dir->props.cluster_id, cluster_id);
	dir->props.directory_id = tk_uuid_random();
	return tk_metaprops_write(dir->fd, &dir->props);
}

static int
check_props(struct tk_logdir *dir, const char *cluster_id, int32_t node_id,
    struct tk_log_problem *ret_problem)
{
	if (dir->props.node_id != node_id) {
		tk_log_problem_set(ret_problem,
		    "\"%s/meta.properties\" says node.id %d, the settings say %d", dir->path,
		    (int)dir->props.node_id, (int)node_id);
		return -EINVAL;
	}
	if (cluster_id != NULL && strcmp(cluster_id, dir->props.cluster_id) != 0) {
		tk_log_problem_set(ret_problem,
		    "\"%s/meta.properties\" says cluster.id %s, the settings say %s", dir->path,
		    dir->props.cluster_id, cluster_id);
		return -EINVAL;
	}
	if (!tk_uuid_is_zero(&dir->props.directory_id))
		return 0;
	dir->props.directory_id = tk_uuid_random();
	return tk_metaprops_write(dir->fd, &dir->props);
}

static int
open_props(struct tk_logdir *dir, const struct tk_logdir_options *options,
    struct tk_log_problem *ret_problem)
{
	const char *cluster_id = options->cluster_id;
	int rc;

	if (cluster_id != NULL && cluster_id[0] == '\0')
		cluster_id = NULL;
	if (cluster_id != NULL && strlen(cluster_id) > TK_LOGDIR_CLUSTER_ID_MAX)
		return -EINVAL;
	tk_log_problem_set(ret_problem, "%s", "");
	rc = tk_metaprops_read(dir->fd, &dir->props);
	if (rc == -ENOENT) {
		dir->props.node_id = options->node_id;
		rc = make_props(dir, cluster_id);
	} else if (rc == 0) {
		rc = check_props(dir, cluster_id, options->node_id, ret_problem);
	}
	if (rc < 0 && (ret_problem == NULL || ret_problem->text[0] == '\0'))
		tk_log_problem_set(ret_problem, "could not use \"%s/meta.properties\": %s",
		    dir->path, rc == -EBADMSG ? "it is damaged" : strerror(-rc));
	return rc;
}

static int
copy_options(struct tk_logdir *dir, const struct tk_logdir_options *options)
{
	dir->recovery_threads = TK_MIN(TK_MAX(options->recovery_threads, 1u), RECOVERY_THREADS_MAX);
	dir->with_files_max =
	    options->open_partitions_max == 0 ? WITH_FILES_MAX : options->open_partitions_max;
	dir->note = options->note;
	dir->note_arg = options->note_arg;
	dir->recovery.progress_ms = options->progress_ms;
	dir->path = strdup(options->path);
	dir->zone_name = strdup(options->zone_name);
	dir->turn = calloc(1, sizeof(*dir->turn));
	if (options->boot_id_path != NULL)
		dir->boot_id_path = strdup(options->boot_id_path);
	if (dir->path == NULL || dir->zone_name == NULL || dir->turn == NULL ||
	    (options->boot_id_path != NULL && dir->boot_id_path == NULL))
		return -ENOMEM;
	return 0;
}

static int
open_dirs(struct tk_logdir *dir, const struct tk_logdir_options *options)
{
	int rc = 0;

	if (mkdir(options->path, 0750) < 0 && errno != EEXIST)
		return -errno;
	rc = tk_file_open(AT_FDCWD, options->path, O_RDONLY | O_DIRECTORY, 0, &dir->fd);
	if (rc == 0)
		rc = tk_file_open(
		    options->run_dir_fd, ".", O_RDONLY | O_DIRECTORY, 0, &dir->run_dir_fd);
	if (rc == 0 && mkdirat(dir->run_dir_fd, SAVED_PRODUCERS, 0750) < 0 && errno != EEXIST)
		rc = -errno;
	return rc;
}

/* The producers' states in the run directory go with the zone: believed or not. */
static void
forget_saved_producers(struct tk_logdir *dir)
{
	size_t len = strlen(dir->zone_name);
	const struct dirent *entry;
	DIR *stream;
	int fd, rc;

	if (tk_file_open(dir->run_dir_fd, SAVED_PRODUCERS, O_RDONLY | O_DIRECTORY, 0, &fd) < 0)
		return;
	stream = fdopendir(fd);
	if (stream == NULL) {
		tk_file_close(&fd);
		return;
	}
	while ((entry = readdir(stream)) != NULL) {
		if (strncmp(entry->d_name, dir->zone_name, len) != 0 || entry->d_name[len] != '.')
			continue;
		rc = tk_file_unlink(fd, entry->d_name);
		(void)rc;
	}
	(void)closedir(stream);
}

static int
logdir_start(struct tk_logdir *dir, const struct tk_logdir_options *options,
    struct tk_log_problem *ret_problem)
{
	int wait_ms = options->lock_wait_ms == 0 ? LOCK_WAIT_MS : TK_MAX(options->lock_wait_ms, 0);
	int rc;

	rc = copy_options(dir, options);
	if (rc == 0)
		rc = open_dirs(dir, options);
	if (rc < 0) {
		tk_log_problem_set(ret_problem, "could not open data directory \"%s\": %s",
		    options->path, strerror(-rc));
		return rc;
	}
	rc = tk_logdir_lock(dir->fd, dir->path, wait_ms, &dir->lock_fd, ret_problem);
	if (rc == 0)
		rc = open_props(dir, options, ret_problem);
	if (rc < 0)
		return rc;
	rc = tk_zone_open(dir->run_dir_fd, dir->zone_name, &dir->zone);
	if (rc < 0) {
		tk_log_problem_set(
		    ret_problem, "could not open zone \"%s\": %s", dir->zone_name, strerror(-rc));
		return rc;
	}
	rc = tk_logdir_begin(dir, ret_problem);
	if (rc == 0 && dir->trust != TK_TRUST_ZONE)
		forget_saved_producers(dir);
	if (rc == 0)
		rc = tk_logdir_read_checkpoints(dir);
	return rc;
}

int
tk_logdir_open(const struct tk_logdir_options *options, struct tk_logdir **ret_dir,
    struct tk_log_problem *ret_problem)
{
	struct tk_logdir *dir = calloc(1, sizeof(*dir));
	int rc;

	if (dir == NULL)
		return -ENOMEM;
	dir->fd = dir->lock_fd = dir->run_dir_fd = -1;
	dir->starts_moved = true;
	TAILQ_INIT(&dir->logs);
	TAILQ_INIT(&dir->with_files);
	TAILQ_INIT(&dir->doomed);
	tk_producer_pool_init(&dir->producers);
	rc = logdir_start(dir, options, ret_problem);
	if (rc == 0 && tk_zone_header(dir->zone)->checkpoint[0].inode == 0)
		rc = tk_logdir_checkpoint(dir);
	if (rc < 0) {
		tk_logdir_close(&dir);
		return rc;
	}
	dir->checkpoint_due_ms = tk_clock_mono_ms() + CHECKPOINT_EVERY_MS;
	tk_doom_leftovers(dir);
	*ret_dir = dir;
	return 0;
}

void
tk_logdir_close(struct tk_logdir **pdir)
{
	struct tk_logdir *dir = *pdir;

	if (dir == NULL)
		return;
	tk_assert(TAILQ_EMPTY(&dir->logs));
	tk_doomed_free(dir);
	tk_checkpoint_free(&dir->recovery_points);
	tk_checkpoint_free(&dir->log_starts);
	tk_checkpoint_free(&dir->clean_points);
	tk_zone_close(&dir->zone);
	tk_file_close(&dir->run_dir_fd);
	tk_file_close(&dir->fd);
	tk_file_close(&dir->lock_fd);
	free(dir->turn);
	free(dir->boot_id_path);
	free(dir->zone_name);
	free(dir->path);
	free(dir);
	*pdir = NULL;
}

enum tk_trust
tk_logdir_trust(const struct tk_logdir *dir)
{
	return dir->trust;
}

struct tk_zone *
tk_logdir_zone(struct tk_logdir *dir)
{
	return dir->zone;
}

const char *
tk_logdir_path(const struct tk_logdir *dir)
{
	return dir->path;
}

const char *
tk_logdir_cluster_id(const struct tk_logdir *dir)
{
	return dir->props.cluster_id;
}

struct tk_uuid
tk_logdir_directory_id(const struct tk_logdir *dir)
{
	return dir->props.directory_id;
}

int64_t
tk_logdir_tick(struct tk_logdir *dir, int64_t mono_ms)
{
	int64_t wait_ms = tk_doomed_tick(dir, mono_ms);
	int64_t checkpoint_ms;

	if (mono_ms >= dir->checkpoint_due_ms) {
		int rc = tk_logdir_checkpoint(dir);

		if (rc < 0)
			tk_logdir_say(dir, TK_LEVEL_ERROR,
			    "could not write checkpoints in \"%s\": %s", dir->path, strerror(-rc));
		dir->checkpoint_due_ms = mono_ms + CHECKPOINT_EVERY_MS;
	}
	checkpoint_ms = dir->checkpoint_due_ms - mono_ms;
	return wait_ms < 0 ? checkpoint_ms : TK_MIN(wait_ms, checkpoint_ms);
}

/* Partitions to recover, shared by the threads that do it. */
struct recovery_crew {
	struct tk_log_opening **items;
	size_t count;
	size_t next; /* atomic */
};

static int
read_producers(struct tk_log *log)
{
	int64_t began_ms = tk_clock_mono_ms();
	int rc = tk_log_read_producers(log);

	tk_logdir_say(log->dir, TK_LEVEL_INFO,
	    "read the producers of \"%s\" from its batches in %lld ms%s%s", log->name,
	    (long long)(tk_clock_mono_ms() - began_ms), rc < 0 ? ": " : "",
	    rc < 0 ? strerror(-rc) : "");
	return 0; /* the first append tries again */
}

static void *
recovery_thread(void *arg)
{
	struct recovery_crew *crew = arg;
	size_t i;

	while ((i = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED)) < crew->count) {
		struct tk_log_opening *item = crew->items[i];

		if (item->step == TK_LOG_TO_READ_PRODUCERS) {
			item->rc = read_producers(item->log);
			continue;
		}
		item->rc = tk_recovery_run(item->log);
		tk_recovery_tell_partition(item->log->dir);
	}
	return NULL;
}

static void
recover_all(struct tk_logdir *dir, struct recovery_crew *crew)
{
	pthread_t threads[RECOVERY_THREADS_MAX];
	unsigned count = 0;

	tk_recovery_tell_begin(dir);
	(void)tk_hash("", 0); /* makes the key of this process's maps before there are threads */
	while (count + 1 < dir->recovery_threads && count + 1 < crew->count) {
		if (pthread_create(&threads[count], NULL, recovery_thread, crew) != 0)
			break;
		count++;
	}
	(void)recovery_thread(crew);
	for (unsigned i = 0; i < count; i++)
		(void)pthread_join(threads[i], NULL);
}

static void
finish_opening(struct tk_logdir *dir, struct tk_log_opening *item)
{
	if (item->rc == 0)
		item->rc = tk_log_finish(item->log);
	if (item->rc == 0)
		return;
	if (item->problem.text[0] == '\0')
		tk_log_problem_set(&item->problem,
		    "could not open partition \"%s-%d\" in \"%s\": %s", item->identity.topic,
		    (int)item->identity.partition, dir->path, strerror(-item->rc));
	tk_log_publish_failed(dir, &item->identity);
	tk_log_free(&item->log);
}

void
tk_logdir_open_logs(struct tk_logdir *dir, struct tk_log_opening *items, size_t count)
{
	struct recovery_crew crew = { .items = calloc(count + 1, sizeof(struct tk_log_opening *)) };

	for (size_t i = 0; i < count; i++) {
		items[i].step = TK_LOG_READY;
		items[i].problem.text[0] = '\0';
		items[i].log = NULL;
		items[i].rc = crew.items == NULL
				  ? -ENOMEM
				  : tk_log_prepare(dir, &items[i].identity, &items[i].config,
					&items[i].log, &items[i].step, &items[i].problem);
		if (items[i].rc == 0 && items[i].step != TK_LOG_READY)
			crew.items[crew.count++] = &items[i];
	}
	if (crew.count > 0)
		recover_all(dir, &crew);
	for (size_t i = 0; i < count; i++)
		finish_opening(dir, &items[i]);
	free(crew.items);
}

int
tk_log_open(struct tk_logdir *dir, const struct tk_log_identity *identity,
    const struct tk_log_config *config, struct tk_log **ret_log, struct tk_log_problem *ret_problem)
{
	struct tk_log_opening item = { .identity = *identity, .config = *config };

	tk_logdir_open_logs(dir, &item, 1);
	if (item.rc < 0) {
		tk_log_problem_set(ret_problem, "%s", item.problem.text);
		return item.rc;
	}
	*ret_log = item.log;
	return 0;
}

static void
stop_failed(
    struct tk_logdir *dir, const struct tk_log *log, int rc, struct tk_log_problem *ret_problem)
{
	tk_logdir_say(dir, TK_LEVEL_ERROR, "could not stop partition \"%s\" cleanly: %s", log->name,
	    strerror(-rc));
	tk_log_problem_set(
	    ret_problem, "could not stop partition \"%s\" cleanly: %s", log->name, strerror(-rc));
}

/*
 * Syncing file by file takes milliseconds a partition, too long for thousands of them: many are
 * brought to the disk together.  Should that fail, file by file tells whose fault it is.
 */
static int
stop_logs(struct tk_logdir *dir, struct tk_log_problem *ret_problem)
{
	struct tk_log *log;
	int failed = 0, rc;
	size_t needed = 0;
	bool synced;

	TAILQ_FOREACH (log, &dir->logs, link) {
		needed += tk_log_stop_needed(log) ? 1 : 0;
		rc = tk_log_stop_prepare(log);
		if (rc < 0) {
			stop_failed(dir, log, rc, ret_problem);
			failed = rc;
		}
	}
	synced = needed >= SYNC_TOGETHER && tk_file_sync_all(dir->fd) == 0;
	TAILQ_FOREACH (log, &dir->logs, link) {
		rc = log->stop_prepared ? tk_log_stop(log, synced) : 0;
		if (rc < 0) {
			stop_failed(dir, log, rc, ret_problem);
			failed = rc;
		}
	}
	return failed;
}

int
tk_logdir_orphaned_stop(struct tk_logdir *dir, struct tk_log_problem *ret_problem)
{
	int failed = stop_logs(dir, ret_problem), rc;

	rc = tk_file_sync_dir(dir->fd, ".");
	if (rc == 0)
		rc = tk_logdir_checkpoint(dir);
	if (rc < 0)
		tk_log_problem_set(ret_problem, "could not write checkpoints in \"%s\": %s",
		    dir->path, strerror(-rc));
	return rc < 0 ? rc : failed;
}

int
tk_logdir_clean_stop(struct tk_logdir *dir, struct tk_log_problem *ret_problem)
{
	int rc = tk_logdir_orphaned_stop(dir, ret_problem);

	if (rc == 0)
		tk_zone_header(dir->zone)->stopped_clean = 1;
	return rc;
}

int
tk_logdir_mark_clean(const char *path)
{
	struct tk_file_replace what = { .path = TK_CLEAN_MARKER,
		.data = CLEAN_MARKER_TEXT,
		.len = sizeof(CLEAN_MARKER_TEXT) - 1,
		.sync = true };
	int rc;

	rc = tk_file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &what.dir_fd);
	if (rc < 0)
		return rc;
	rc = tk_file_replace(&what);
	tk_file_close(&what.dir_fd);
	return rc;
}
