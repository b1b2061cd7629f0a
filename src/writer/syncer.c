/*
 * The helper threads.  The two lists are shared under the mutex; an eventfd tells the loop that
 * something is done.  A disk that never answers keeps a thread, not the loop.  Failure of a sync
 * is the job's result.
 */
#include "writer/syncer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/file.h"
#include "os/poll.h"

STAILQ_HEAD(job_list, tk_sync_job);

struct tk_syncer {
	struct tk_loop *loop;
	int dir_fd;
	pthread_t threads[TK_SYNCER_THREADS_MAX];
	unsigned thread_count;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct job_list todo, done;
	bool quit;
	struct tk_event event;
};

static int
job_sync_file(int dir_fd, const struct tk_sync_job *job, int64_t segment, const char *suffix)
{
	char path[sizeof(job->directory) + 40];
	int fd, rc;

	(void)snprintf(path, sizeof(path), "%s/%020" PRId64 "%s", job->directory, segment, suffix);
	rc = tk_file_open(dir_fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = tk_file_sync_data(fd);
	tk_file_close(&fd);
	return rc;
}

static int
job_sync_segment(int dir_fd, const struct tk_sync_job *job, size_t at)
{
	static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".snapshot" };
	bool active = job->with_active && at + 1 == job->segment_count;
	size_t count = active ? 1 : TK_COUNT_OF(suffixes);
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = job_sync_file(dir_fd, job, job->segments[at], suffixes[i]);
	return rc;
}

static int
job_sync_names(int dir_fd, const struct tk_sync_job *job)
{
	int rc = tk_file_sync_dir(dir_fd, job->directory);

	return rc < 0 ? rc : tk_file_sync_dir(dir_fd, ".");
}

static void
job_run(int dir_fd, struct tk_sync_job *job)
{
	job->rc = job->run != NULL ? job->run(job) : 0;
	for (size_t i = 0; i < job->segment_count && job->rc == 0; i++)
		job->rc = job_sync_segment(dir_fd, job, i);
	if (job->rc == 0 && job->with_names)
		job->rc = job_sync_names(dir_fd, job);
}

static void *
syncer_main(void *arg)
{
	struct tk_syncer *syncer = arg;
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&syncer->mutex);
	for (;;) {
		struct tk_sync_job *job;

		while (!syncer->quit && STAILQ_EMPTY(&syncer->todo))
			(void)pthread_cond_wait(&syncer->wake, &syncer->mutex);
		if (syncer->quit)
			break;
		job = STAILQ_FIRST(&syncer->todo);
		STAILQ_REMOVE_HEAD(&syncer->todo, link);
		(void)pthread_mutex_unlock(&syncer->mutex);
		job_run(syncer->dir_fd, job);
		(void)pthread_mutex_lock(&syncer->mutex);
		STAILQ_INSERT_TAIL(&syncer->done, job, link);
		if (write(syncer->event.fd, &one, sizeof(one)) < 0)
			continue; /* full: the loop has a wake-up waiting already */
	}
	(void)pthread_mutex_unlock(&syncer->mutex);
	return NULL;
}

static void
syncer_ready(struct tk_event *event, unsigned what)
{
	struct tk_syncer *syncer = TK_CONTAINER_OF(event, struct tk_syncer, event);
	struct job_list done = STAILQ_HEAD_INITIALIZER(done);
	struct tk_sync_job *job;
	uint64_t count;

	(void)what;
	if (read(event->fd, &count, sizeof(count)) < 0)
		return;
	(void)pthread_mutex_lock(&syncer->mutex);
	STAILQ_CONCAT(&done, &syncer->done);
	(void)pthread_mutex_unlock(&syncer->mutex);
	while ((job = STAILQ_FIRST(&done)) != NULL) {
		STAILQ_REMOVE_HEAD(&done, link);
		job->done(job);
	}
}

static void
threads_end(struct tk_syncer *syncer)
{
	(void)pthread_mutex_lock(&syncer->mutex);
	syncer->quit = true;
	(void)pthread_cond_broadcast(&syncer->wake);
	(void)pthread_mutex_unlock(&syncer->mutex);
	for (unsigned i = 0; i < syncer->thread_count; i++)
		(void)pthread_join(syncer->threads[i], NULL);
}

static int
threads_begin(struct tk_syncer *syncer, unsigned threads)
{
	int rc = 0;

	tk_assert(threads > 0 && threads <= TK_SYNCER_THREADS_MAX);
	while (rc == 0 && syncer->thread_count < threads) {
		rc = -pthread_create(
		    &syncer->threads[syncer->thread_count], NULL, syncer_main, syncer);
		syncer->thread_count += rc == 0;
	}
	return rc;
}

int
tk_syncer_new(struct tk_loop *loop, int dir_fd, unsigned threads, struct tk_syncer **ret_syncer)
{
	struct tk_syncer *syncer = calloc(1, sizeof(*syncer));
	int rc;

	if (syncer == NULL)
		return -ENOMEM;
	syncer->loop = loop;
	syncer->dir_fd = dir_fd;
	STAILQ_INIT(&syncer->todo);
	STAILQ_INIT(&syncer->done);
	(void)pthread_mutex_init(&syncer->mutex, NULL);
	(void)pthread_cond_init(&syncer->wake, NULL);
	syncer->event = (struct tk_event){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.ready = syncer_ready };
	rc = syncer->event.fd < 0 ? -errno : tk_event_add(loop, &syncer->event, TK_POLL_READ);
	if (rc == 0)
		rc = threads_begin(syncer, threads);
	if (rc < 0) {
		tk_syncer_free(&syncer);
		return rc;
	}
	*ret_syncer = syncer;
	return 0;
}

void
tk_syncer_free(struct tk_syncer **syncer)
{
	struct tk_syncer *gone = *syncer;

	if (gone == NULL)
		return;
	*syncer = NULL;
	threads_end(gone);
	tk_event_remove(gone->loop, &gone->event);
	tk_file_close(&gone->event.fd);
	(void)pthread_cond_destroy(&gone->wake);
	(void)pthread_mutex_destroy(&gone->mutex);
	free(gone);
}

void
tk_syncer_add(struct tk_syncer *syncer, struct tk_sync_job *job)
{
	(void)pthread_mutex_lock(&syncer->mutex);
	STAILQ_INSERT_TAIL(&syncer->todo, job, link);
	(void)pthread_cond_signal(&syncer->wake);
	(void)pthread_mutex_unlock(&syncer->mutex);
}
