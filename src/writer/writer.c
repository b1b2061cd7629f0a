/*
 * The writer process: start, stop, settings.  One a data directory; it alone writes there.
 *
 * Start: lock and open the directory; the journal's slot, if the journal lies here (else wait for
 * its writer); every partition that the journal says lives here; then READY.  The journal wins over
 * the zone: what the zone holds and the journal does not know is published as deleted.  Opening
 * goes on in the loop, so orders of the master are heard meanwhile.
 *
 * A turn of the loop: frames come in and queue; the hook, which stands before the flushes of all
 * channels, appends what has queued; the answers leave.
 *
 * Stop: nothing more is taken, what has queued is finished and answered, the directory is stopped
 * cleanly, exit 0.  If anything of that fails, or the start was not finished, exit 1: then there is
 * no clean marker and the next start looks more closely.  A start that fails says why in one line.
 */
#include "writer/writer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/errlog.h"
#include "log/metaprops.h"
#include "meta/meta.h"
#include "os/file.h"
#include "server/budget.h"
#include "writer/writer_private.h"

/* ---- the turn's end ---- */

static bool
writer_is_idle(const struct tk_writer *writer)
{
	return !tk_appends_waiting(writer) && !tk_durable_waiting(writer) && !tk_apply_busy(writer);
}

static void
writer_turn(struct tk_turn_hook *hook)
{
	struct tk_writer *writer = TK_CONTAINER_OF(hook, struct tk_writer, hook);

	tk_appends_turn(writer);
	tk_idle_producers_count(writer);
	tk_retained_turn(writer);
	tk_callers_resume(writer);
	if (writer->stopping && writer_is_idle(writer))
		tk_post(writer->loop, &writer->finish); /* after the answers have left */
}

/* Nothing to do: a posted call is what keeps the loop from waiting. */
static void
writer_again(struct tk_post *post)
{
	(void)post;
}

/* With a partition offline the directory is left as a kill would leave it, not clean. */
static void
writer_finish(struct tk_post *post)
{
	struct tk_writer *writer = TK_CONTAINER_OF(post, struct tk_writer, finish);
	struct tk_log_problem problem = { .text = "" };
	int rc;

	if (!writer_is_idle(writer))
		return; /* a sync has begun since: the hook posts this again */
	tk_durable_free(writer);
	rc = writer->proc->orphaned ? tk_logdir_orphaned_stop(writer->dir, &problem)
				    : tk_logdir_clean_stop(writer->dir, &problem);
	if (rc < 0)
		tk_err(
		    "could not stop \"%s\" cleanly: %s", tk_logdir_path(writer->dir), problem.text);
	tk_process_exit(writer->proc, rc < 0 ? 1 : 0);
}

void
tk_writer_init(struct tk_writer *writer, struct tk_process *proc)
{
	*writer = (struct tk_writer){ .proc = proc, .loop = proc->loop, .dir_fd = -1 };
	TAILQ_INIT(&writer->turns);
	LIST_INIT(&writer->callers);
	LIST_INIT(&writer->paused);
	STAILQ_INIT(&writer->retained);
	writer->hook.run = writer_turn;
	writer->again.run = writer_again;
	writer->finish.run = writer_finish;
	writer->upkeep.expire = tk_upkeep_run;
	writer->idle_producers.expire = tk_idle_producers_run;
	writer->trouble.expire = tk_trouble_run;
	TAILQ_INIT(&writer->troubled);
	tk_turn_hook_add(writer->loop, &writer->hook); /* before any channel adds its own */
}

void
tk_writer_free(struct tk_writer *writer)
{
	tk_journal_wait_free(writer);
	tk_callers_end(writer);
	tk_retained_turn(writer);
	tk_durable_free(writer);
	tk_apply_free(writer);
	tk_parts_close(writer);
	tk_timer_stop(writer->loop, &writer->upkeep);
	tk_timer_stop(writer->loop, &writer->idle_producers);
	tk_timer_stop(writer->loop, &writer->trouble);
	tk_post_cancel(writer->loop, &writer->again);
	tk_post_cancel(writer->loop, &writer->finish);
	tk_turn_hook_remove(writer->loop, &writer->hook);
	tk_zone_close(&writer->journal_zone);
	tk_logdir_close(&writer->dir);
	tk_file_close(&writer->dir_fd);
}

/* ---- start ---- */

static void
writer_note(void *arg, enum tk_level level, const char *text)
{
	(void)arg;
	tk_errlog(level, "%s", text);
}

static const char *
directory_path(const struct tk_writer *writer, unsigned index)
{
	return writer->proc->cycle->directories[index].path;
}

/* The cluster id that directory 0 has; "" if it is the one to choose. */
static int
writer_cluster_id(const struct tk_writer *writer, struct tk_metaprops *props)
{
	int fd, rc;

	props->cluster_id[0] = '\0';
	if (writer->proc->index == TK_META_DIRECTORY)
		return 0;
	rc = tk_file_open(
	    AT_FDCWD, directory_path(writer, TK_META_DIRECTORY), O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_metaprops_read(fd, props);
	tk_file_close(&fd);
	return rc;
}

static unsigned
recovery_threads(const struct tk_settings *settings)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (settings->num_recovery_threads_per_data_dir > 0)
		return (unsigned)settings->num_recovery_threads_per_data_dir;
	return processors > 0 ? (unsigned)processors : 1;
}

static int
writer_open_directory(struct tk_writer *writer)
{
	const struct tk_settings *settings = writer->proc->settings;
	struct tk_log_problem problem = { .text = "" };
	struct tk_metaprops props;
	char zone_name[32];
	struct tk_logdir_options options = { .path = directory_path(writer, writer->proc->index),
		.run_dir_fd = writer->proc->cycle->run_dir_fd,
		.zone_name = zone_name,
		.node_id = settings->node_id,
		.cluster_id = props.cluster_id,
		.recovery_threads = recovery_threads(settings),
		.open_partitions_max = (unsigned)tk_budget_writer(tk_budget_limit()).partitions,
		.note = writer_note };
	int rc = writer_cluster_id(writer, &props);

	(void)snprintf(zone_name, sizeof(zone_name), TK_ZONE_FMT, writer->proc->index);
	if (rc == 0)
		rc = tk_logdir_open(&options, &writer->dir, &problem);
	if (rc == 0)
		rc = tk_file_open(
		    AT_FDCWD, options.path, O_RDONLY | O_DIRECTORY, 0, &writer->dir_fd);
	if (rc < 0 && problem.text[0] != '\0')
		tk_err("%s", problem.text);
	else if (rc < 0)
		tk_err("could not open data directory \"%s\": %s", options.path, strerror(-rc));
	return rc;
}

/* The journal has settings of its own, which no metadata could say. */
static int
writer_open_journal(struct tk_writer *writer)
{
	const struct tk_log_identity identity = { .topic = TK_META_TOPIC,
		.topic_id = { { [15] = 1 } },
		.slot = TK_META_SLOT,
		.incarnation = TK_META_INCARNATION };
	struct tk_log_config config = tk_log_config_default();
	struct tk_log_problem problem = { .text = "" };
	int rc;

	config.max_message_bytes = (int64_t)TK_META_BATCH_MAX;
	config.segment_ms = INT64_MAX;
	rc = tk_part_open(writer, &identity, &config, true, &problem);
	if (rc < 0)
		tk_err("could not open the metadata journal: %s", problem.text);
	return rc;
}

int
tk_writer_open(struct tk_writer *writer)
{
	int rc = writer_open_directory(writer);

	if (rc < 0)
		return rc;
	writer->zone = tk_logdir_zone(writer->dir);
	tk_idle_producers_settings(writer, writer->proc->settings);
	rc = tk_durable_new(writer);
	if (rc < 0)
		tk_err("could not start the helper threads: %s", strerror(-rc));
	if (rc == 0 && writer->proc->index == TK_META_DIRECTORY)
		rc = writer_open_journal(writer);
	return rc;
}

/*
 * While it recovers it may not hear of the master's death for long, and another master could not
 * begin: until it is ready it dies with the master.  Nothing is lost by that at any moment.
 */
static void
writer_die_with_master(bool on)
{
	(void)prctl(PR_SET_PDEATHSIG, on ? SIGKILL : 0);
}

static void
writer_ready(struct tk_writer *writer)
{
	writer_die_with_master(false);
	tk_parts_clear_strays(writer);
	writer->ready = true;
	tk_upkeep_run(&writer->upkeep);
	tk_info("serves \"%s\": %zu partitions", tk_logdir_path(writer->dir), writer->part_count);
	tk_process_ready(writer->proc);
}

static int
writer_journal_zone(struct tk_writer *writer, const struct tk_zone **ret_zone)
{
	char name[32];
	int rc = 0;

	*ret_zone = writer->zone;
	if (writer->proc->index == TK_META_DIRECTORY)
		return 0;
	(void)snprintf(name, sizeof(name), TK_ZONE_FMT, TK_META_DIRECTORY);
	rc = tk_zone_open_readonly(writer->proc->cycle->run_dir_fd, name, &writer->journal_zone);
	*ret_zone = writer->journal_zone;
	return rc;
}

static void
writer_start(struct tk_writer *writer)
{
	const struct tk_zone *zone;
	int rc = tk_writer_open(writer);

	if (rc < 0) {
		tk_process_exit(writer->proc, 1);
		return;
	}
	rc = writer_journal_zone(writer, &zone);
	if (rc == 0)
		rc = tk_apply_start(
		    writer, zone, directory_path(writer, TK_META_DIRECTORY), writer_ready);
	if (rc < 0)
		tk_err("could not read the metadata journal: %s", strerror(-rc));
	if (rc == 0) {
		rc = tk_callers_serve(
		    writer, writer->proc->cycle->directories[writer->proc->index].channel_fd);
		if (rc < 0)
			tk_err("could not serve channels: %s", strerror(-rc));
	}
	if (rc < 0)
		tk_process_exit(writer->proc, 1);
}

/* ---- the process ---- */

struct writer_process {
	struct tk_process proc;
	struct tk_writer writer;
	struct tk_post start; /* in the loop, so that a failure can end it */
};

static void
writer_begin(struct tk_post *post)
{
	struct tk_writer *writer = &TK_CONTAINER_OF(post, struct writer_process, start)->writer;
	int rc;

	writer_die_with_master(true);
	if (writer->proc->index == TK_META_DIRECTORY) {
		writer_start(writer);
		return;
	}
	rc = tk_journal_wait_start(writer, writer_start);
	if (rc == 0)
		return;
	tk_err("could not reach the writer of the journal: %s", strerror(-rc));
	tk_process_exit(writer->proc, 1);
}

static struct tk_writer *
process_writer(struct tk_process *proc)
{
	return &TK_CONTAINER_OF(proc, struct writer_process, proc)->writer;
}

static void
writer_stop(struct tk_process *proc, bool fast)
{
	struct tk_writer *writer = process_writer(proc);

	(void)fast;
	if (proc->loop == NULL)
		_exit(1); /* was never told to go */
	if (!writer->ready) {
		tk_process_exit(proc, 1);
		return;
	}
	if (writer->stopping)
		return;
	writer->stopping = true;
	tk_channel_server_stop(&writer->server);
	tk_post(writer->loop, &writer->again);
}

static void
writer_commit(struct tk_process *proc, const struct tk_settings *settings)
{
	struct tk_writer *writer = process_writer(proc);

	if (writer->dir != NULL)
		tk_idle_producers_settings(writer, settings);
	tk_apply_settings(writer, settings);
}

static const struct tk_process_ops writer_ops = { .stop = writer_stop, .commit = writer_commit };

int
tk_writer_main(struct tk_cycle *cycle, const struct tk_birth *birth)
{
	static struct writer_process self;
	int rc = tk_process_init(&self.proc, cycle, birth, &writer_ops);

	if (rc < 0) {
		tk_err("could not start: %s", strerror(-rc));
		return 1;
	}
	tk_writer_init(&self.writer, &self.proc);
	self.start.run = writer_begin;
	tk_post(self.proc.loop, &self.start);
	rc = tk_process_run(&self.proc);
	tk_writer_free(&self.writer);
	return rc;
}
