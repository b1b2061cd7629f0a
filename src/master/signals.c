/*
 * The operator's signals and SIGCHLD, as events of the loop.  Master only; children ignore what is
 * meant for the master and reaches the whole group, as Ctrl-C does.
 */
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/errlog.h"
#include "master/master.h"
#include "os/poll.h"

static void
on_stop(struct tk_master *master, int signo)
{
	(void)signo;
	tk_master_stop(master, false);
}

static void
on_quit(struct tk_master *master, int signo)
{
	(void)signo;
	tk_master_stop(master, true);
}

static void
on_reload(struct tk_master *master, int signo)
{
	char text[256]; /* the log has all of it */

	(void)signo;
	if (master->reload.state != TK_RELOAD_NONE)
		master->reload.again = true;
	else
		(void)tk_master_reload(master, text, sizeof(text));
}

static void
on_reopen(struct tk_master *master, int signo)
{
	(void)signo;
	(void)tk_master_reopen(master);
}

static void
on_child(struct tk_master *master, int signo)
{
	(void)signo;
	tk_master_reap(master);
}

static void
on_later(struct tk_master *master, int signo)
{
	(void)master;
	tk_warn("signal %d (%s) is not supported yet", signo, strsignal(signo));
}

static const struct signal_row {
	int signo;
	void (*run)(struct tk_master *master, int signo);
} rows[] = {
	{ SIGTERM, on_stop },
	{ SIGINT, on_stop },
	{ SIGQUIT, on_quit },
	{ SIGHUP, on_reload },
	{ SIGUSR1, on_reopen },
	{ SIGUSR2, on_later },  /* replace the binary */
	{ SIGWINCH, on_later }, /* retire the workers */
	{ SIGCHLD, on_child },
};

static void
signals_ready(struct tk_event *event, unsigned what)
{
	struct tk_master *master = TK_CONTAINER_OF(event, struct tk_master, signals);
	struct signalfd_siginfo info;

	(void)what;
	while (read(event->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		for (size_t i = 0; i < TK_COUNT_OF(rows); i++)
			if (rows[i].signo == (int)info.ssi_signo)
				rows[i].run(master, rows[i].signo);
}

int
tk_master_signals_open(struct tk_master *master)
{
	sigset_t set;
	int rc;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		(void)sigaddset(&set, rows[i].signo);
		/* Not ignored, whatever we were started with (nohup, shells' background jobs). */
		(void)signal(rows[i].signo, SIG_DFL);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	master->signals = (struct tk_event){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.ready = signals_ready };
	rc = master->signals.fd < 0 ? -errno
				    : tk_event_add(master->loop, &master->signals, TK_POLL_READ);
	if (rc < 0)
		tk_err("could not receive signals: %s", strerror(-rc));
	return rc;
}

int
tk_master_reopen(struct tk_master *master)
{
	struct tk_control msg = { .type = TK_CONTROL_REOPEN };
	struct tk_slot *slot;
	int rc = tk_errlog_reopen();

	if (rc < 0) {
		tk_err("could not reopen the error log: %s", strerror(-rc));
		return rc;
	}
	/* Children get the descriptor, since they may not be able to open the file themselves. */
	TAILQ_FOREACH (slot, &master->slots, link)
		tk_slot_tell(slot, &msg, tk_errlog_fd());
	tk_info("error log reopened");
	return 0;
}
