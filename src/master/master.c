/*
 * One run of the broker, from the settings to the exit code.  Master only.
 *
 * What can go wrong at a start goes wrong before the first fork, and is told on stderr, so that
 * whoever started it by hand sees it; only then the error log takes over.
 */
#include "master/master.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errlog.h"
#include "master/daemon.h"
#include "os/notify.h"
#include "os/poll.h"
#include "os/proctitle.h"

#define LOOK_MS 1000

static void
master_look(struct tk_timer *timer)
{
	struct tk_master *master = TK_CONTAINER_OF(timer, struct tk_master, look_timer);
	int64_t watchdog_ms = tk_notify_watchdog_ms();

	tk_master_look_at_progress(master);
	tk_event_want(master->loop, &master->control, TK_POLL_READ);
	if (watchdog_ms > 0)
		tk_notify_alive();
	(void)tk_timer_start(
	    master->loop, timer, watchdog_ms > 0 ? TK_MIN(watchdog_ms, (int64_t)LOOK_MS) : LOOK_MS);
}

static int
listeners_open(struct tk_master *master)
{
	char text[256];
	int rc =
	    tk_master_listeners_bind(NULL, master->cycle, TK_MASTER_HELD_MS, text, sizeof(text));

	if (rc == 0)
		rc = tk_master_listeners_listen(&master->cycle->cycle, text, sizeof(text));
	if (rc < 0)
		tk_err("%s", text);
	return rc;
}

static int
log_open(const struct tk_settings *settings)
{
	int rc;

	if (strcmp(settings->error_log, "stderr") == 0)
		return 0;
	rc = tk_errlog_open(settings->error_log);
	if (rc < 0)
		tk_err("could not open error log \"%s\": %s", settings->error_log, strerror(-rc));
	return rc;
}

static int
daemonize(struct tk_master *master)
{
	int rc = tk_daemon_fork(&master->ready_pipe);

	if (rc < 0)
		tk_err("could not go to the background: %s", strerror(-rc));
	return rc;
}

static int
loop_open(struct tk_master *master)
{
	int rc = tk_loop_new(&master->loop);

	if (rc < 0)
		tk_err("could not make the event loop: %s", strerror(-rc));
	return rc;
}

/* All that a start needs before there are children; 0 or -errno after logging. */
static int
master_open(struct tk_master *master)
{
	const struct tk_settings *settings = master->cycle->cycle.settings;
	int rc = 0;

	if (settings->data_directories.count > TK_DIRECTORIES_MAX) {
		tk_err("there are %zu data directories: %u is the most",
		    settings->data_directories.count, TK_DIRECTORIES_MAX);
		return -E2BIG;
	}
	if (settings->daemon)
		rc = daemonize(master);
	if (rc == 0)
		rc = tk_master_rundir_open(master);
	if (rc == 0)
		rc = listeners_open(master);
	if (rc == 0)
		rc = tk_master_data_make(settings);
	if (rc == 0)
		rc = log_open(settings);
	if (rc == 0)
		rc = tk_master_drop_privileges(master);
	if (rc == 0)
		rc = tk_master_cycle_channels(master, &master->cycle->cycle);
	if (rc == 0)
		rc = loop_open(master);
	if (rc == 0)
		rc = tk_master_signals_open(master);
	if (rc == 0)
		rc = tk_master_control_open(master);
	return rc == 0 ? tk_master_slots_make(master) : rc;
}

static void
master_serve(struct tk_master *master)
{
	const struct tk_settings *settings = master->cycle->cycle.settings;

	tk_proctitle("master process");
	tk_info("takhin " PACKAGE_VERSION " starting; settings: %s",
	    settings->file != NULL ? settings->file : "defaults");
	if (tk_settings_workers(settings) > (int32_t)TK_WORKERS_MAX)
		tk_warn("%d workers are started, not %d: there can be no more", (int)TK_WORKERS_MAX,
		    (int)tk_settings_workers(settings));
	tk_master_limits_raise(settings);
	if (settings->daemon)
		tk_daemon_detach();
	master->look_timer.expire = master_look;
	master_look(&master->look_timer);
	tk_master_watch(master);
	tk_master_start_go_on(master);
	tk_loop_run(master->loop);
}

static void
channels_close(struct tk_cycle *cycle)
{
	if (cycle->coordinator_fd >= 0)
		(void)close(cycle->coordinator_fd);
	for (size_t i = 0; i < cycle->directory_count; i++)
		if (cycle->directories[i].channel_fd >= 0)
			(void)close(cycle->directories[i].channel_fd);
}

static void
master_close(struct tk_master *master)
{
	struct tk_slot *slot;

	tk_master_cycle_unref(&master->reload.next);
	while ((slot = TAILQ_FIRST(&master->slots)) != NULL)
		tk_slot_free(&slot);
	tk_master_control_close(master);
	if (master->signals.fd >= 0)
		(void)close(master->signals.fd);
	channels_close(&master->cycle->cycle);
	tk_master_rundir_close(master);
	if (master->ready_pipe >= 0)
		(void)close(master->ready_pipe);
	tk_master_cycle_unref(&master->cycle);
	tk_loop_free(&master->loop);
}

int
tk_master_run(const struct tk_settings_source *source, struct tk_arena *arena,
    const struct tk_settings *settings)
{
	/* Where leak checkers find it, in children as well. */
	static struct tk_master the_master;
	struct tk_master *master = &the_master;

	*master = (struct tk_master){ .source = source,
		.run_dir_fd = -1,
		.lock_fd = -1,
		.ready_pipe = -1,
		.signals.fd = -1,
		.control.fd = -1 };
	TAILQ_INIT(&master->slots);
	LIST_INIT(&master->clients);
	(void)umask(0027);
	tk_errlog_name("master");
	tk_errlog_level((enum tk_level)settings->log_level);
	if (tk_master_cycle_new(arena, settings, 1, &master->cycle) < 0) {
		tk_err("could not start: out of memory");
		return 1;
	}
	if (master_open(master) < 0) {
		master->exit_code = 1;
	} else {
		master->started_ms = tk_loop_now_ms(master->loop);
		master_serve(master);
		tk_info("stopped%s", master->exit_code == 0 ? "" : ", not cleanly");
	}
	master_close(master);
	return master->exit_code;
}
