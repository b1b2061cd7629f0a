/*
 * The worker process, from its birth to its end.
 *
 * Everything it opens of the data and the zones is read-only; its only writable shared memory is
 * its own page and arena.  On STOP it closes its connections at once, on QUIT it first answers what
 * it has been asked, within the settings' shutdown_timeout.  If it dies, its connections die with
 * it and nothing else does.
 */
#include "worker/worker.h"
#include "server/budget.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errlog.h"
#include "log/metaprops.h"
#include "server/worker.h"

struct worker_process {
	struct tk_process proc;
	struct tk_worker worker;
	struct tk_timer drain, drained;
};

/* ---- the end ---- */

static void
worker_drained_expire(struct tk_timer *timer)
{
	struct worker_process *wp = TK_CONTAINER_OF(timer, struct worker_process, drained);

	if (wp->worker.conn_count == 0)
		tk_process_exit(&wp->proc, 0);
	else
		(void)tk_timer_start(wp->proc.loop, &wp->drained, 5);
}

static void
worker_drain_expire(struct tk_timer *timer)
{
	struct worker_process *wp = TK_CONTAINER_OF(timer, struct worker_process, drain);

	tk_conns_close_all(&wp->worker);
	tk_process_exit(&wp->proc, 0);
}

static void
worker_stop(struct tk_process *proc, bool fast)
{
	struct worker_process *wp = TK_CONTAINER_OF(proc, struct worker_process, proc);

	tk_listeners_stop(&wp->worker);
	if (fast) {
		tk_conns_close_all(&wp->worker);
		tk_process_exit(proc, 0);
		return;
	}
	if (tk_timer_running(&wp->drain))
		return; /* told once more: that makes it no longer */
	tk_conns_quit(&wp->worker);
	(void)tk_timer_start(proc->loop, &wp->drain, proc->settings->shutdown_timeout_ms);
	(void)tk_timer_start(proc->loop, &wp->drained, 0);
}

/* ---- the beginning ---- */

/* The log, read-only: the directory for its files, the zone for what is published of them. */
static int
worker_open_directory(struct worker_process *wp, unsigned index, struct tk_uuid *ret_id)
{
	struct tk_worker *worker = &wp->worker;
	const char *path = wp->proc.cycle->directories[index].path;
	char zone[32];
	int rc, fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		rc = -errno;
		tk_err("could not open data directory \"%s\": %s", path, strerror(-rc));
		return rc;
	}
	worker->directory_fds[index] = fd;
	(void)snprintf(zone, sizeof(zone), TK_ZONE_FMT, index);
	rc = tk_zone_open_readonly(wp->proc.cycle->run_dir_fd, zone, &worker->zones[index]);
	if (rc < 0) {
		tk_err("could not open \"%s\" in the run directory: %s", zone, strerror(-rc));
		return rc;
	}
	*ret_id = tk_zone_header(worker->zones[index])->directory_id;
	rc = tk_reader_directory(worker->reader, index, fd);
	return rc < 0 ? rc : tk_writer_link_new(worker, index);
}

static int
worker_open_log(struct worker_process *wp)
{
	struct tk_worker *worker = &wp->worker;
	struct tk_uuid ids[TK_DIRECTORIES_MAX] = { 0 };
	struct tk_metaprops props;
	const struct tk_worker_budget budget =
	    tk_budget_worker(tk_budget_limit(), worker->settings);
	int rc = tk_reader_new((unsigned)budget.segments, &worker->reader);

	if (rc < 0)
		return rc;
	worker->connections_max = (size_t)budget.connections;
	tk_reader_hold_at_most(worker->reader, (unsigned)budget.held);

	worker->directory_count = wp->proc.cycle->directory_count;
	for (unsigned i = 0; rc == 0 && i < worker->directory_count; i++)
		rc = worker_open_directory(wp, i, &ids[i]);
	if (rc == 0)
		rc = tk_metaprops_read(worker->directory_fds[0], &props);
	if (rc < 0)
		return rc;
	(void)snprintf(worker->cluster_id, sizeof(worker->cluster_id), "%s", props.cluster_id);
	rc = tk_meta_open(worker->zones[0], wp->proc.cycle->directories[0].path, wp->proc.settings,
	    &worker->meta);
	if (rc < 0)
		return rc;
	tk_meta_set_generation(worker->meta, wp->proc.topics_generation);
	tk_meta_set_directories(worker->meta, ids, worker->directory_count);
	rc = tk_meta_catch_up(worker->meta);
	return rc == -EAGAIN ? 0 : rc;
}

static int
worker_add_module(struct tk_worker *worker, const struct tk_module *module)
{
	tk_assert(module->abi == TK_MODULE_ABI);
	if (module->kind == TK_MODULE_DECODE && worker->decode == NULL)
		worker->decode = module->decode;
	if (module->kind == TK_MODULE_TRANSMIT && worker->transmit == NULL)
		worker->transmit = module->transmit;
	for (size_t i = 0; module->kind == TK_MODULE_HANDLER && i < module->handler->api_count;
	     i++) {
		const struct tk_api *api = &module->handler->apis[i];

		tk_assert(api->key >= 0 && api->key < TK_API_KEYS_MAX);
		worker->apis[api->key] = api;
	}
	return module->init_worker == NULL ? 0 : module->init_worker(worker);
}

static int
worker_start(struct worker_process *wp)
{
	struct tk_worker *worker = &wp->worker;
	int rc = tk_shared_arena_new(
	    wp->proc.arena, wp->proc.arena_size, wp->proc.arena_fd, &worker->arena);

	if (rc == 0)
		rc = tk_conns_init(worker);
	if (rc == 0)
		rc = worker_open_log(wp);
	if (rc == 0)
		rc = tk_coordinator_link_new(worker);
	for (size_t i = 0; rc == 0 && tk_modules[i] != NULL; i++)
		rc = worker_add_module(worker, tk_modules[i]);
	return rc == 0 ? tk_listeners_start(worker) : rc;
}

static void
worker_end(struct tk_worker *worker)
{
	for (size_t i = 0; tk_modules[i] != NULL; i++)
		if (tk_modules[i]->exit_worker != NULL)
			tk_modules[i]->exit_worker(worker);
	tk_coordinator_link_free(&worker->coordinator);
	for (size_t i = 0; i < worker->directory_count; i++) {
		tk_writer_link_free(&worker->writers[i]);
		tk_zone_close(&worker->zones[i]);
	}
	tk_meta_close(&worker->meta);
	tk_reader_free(&worker->reader);
	tk_shared_arena_free(&worker->arena);
	free(worker->listeners);
}

/* Of settings newer than this worker it takes what topics have by default, and nothing else. */
static void
worker_commit(struct tk_process *proc, const struct tk_settings *settings)
{
	struct tk_worker *worker = &TK_CONTAINER_OF(proc, struct worker_process, proc)->worker;

	if (worker->meta == NULL)
		return;
	tk_meta_set_settings(worker->meta, settings);
	tk_meta_set_generation(worker->meta, proc->topics_generation);
}

static const struct tk_process_ops worker_ops = { .stop = worker_stop, .commit = worker_commit };

int
tk_worker_main(struct tk_cycle *cycle, const struct tk_birth *birth)
{
	static struct worker_process wp;
	int rc = tk_process_init(&wp.proc, cycle, birth, &worker_ops);

	if (rc == 0) {
		wp.worker.proc = &wp.proc;
		wp.worker.settings = wp.proc.settings;
		wp.drain.expire = worker_drain_expire;
		wp.drained.expire = worker_drained_expire;
		rc = worker_start(&wp);
	}
	if (rc < 0) {
		tk_err("could not start: %s", strerror(-rc));
		return 1;
	}
	tk_process_ready(&wp.proc);
	rc = tk_process_run(&wp.proc);
	tk_conns_close_all(&wp.worker);
	worker_end(&wp.worker);
	return rc;
}
