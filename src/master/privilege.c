/*
 * Giving root away.  Master only, once, between binding and forking: nothing after needs it, so
 * master and children run as `user` alike.
 *
 * What we made as root and must write later is handed over: the run directory, the data directories
 * themselves (not what somebody else left in them), lock and log file.
 */
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/errlog.h"
#include "master/master.h"

static int
look_up(const struct tk_settings *settings, uid_t *ret_uid, gid_t *ret_gid)
{
	const struct passwd *user;
	const struct group *group;

	errno = 0;
	user = getpwnam(settings->user);
	if (user == NULL) {
		tk_err("user \"%s\" was not found%s%s", settings->user, errno != 0 ? ": " : "",
		    errno != 0 ? strerror(errno) : "");
		return -ENOENT;
	}
	*ret_uid = user->pw_uid;
	*ret_gid = user->pw_gid;
	if (settings->group[0] == '\0')
		return 0;
	errno = 0;
	group = getgrnam(settings->group);
	if (group == NULL) {
		tk_err("group \"%s\" was not found%s%s", settings->group, errno != 0 ? ": " : "",
		    errno != 0 ? strerror(errno) : "");
		return -ENOENT;
	}
	*ret_gid = group->gr_gid;
	return 0;
}

static int
hand_over(struct tk_master *master, uid_t uid, gid_t gid)
{
	const struct tk_settings *settings = master->cycle->cycle.settings;
	int rc = 0;

	if (fchown(master->run_dir_fd, uid, gid) < 0 || fchown(master->lock_fd, uid, gid) < 0) {
		rc = -errno;
		tk_err("could not give run directory \"%s\" to user \"%s\": %s",
		    settings->run_directory, settings->user, strerror(errno));
	}
	for (size_t i = 0; i < settings->data_directories.count && rc == 0; i++) {
		if (chown(settings->data_directories.items[i], uid, gid) == 0)
			continue;
		rc = -errno;
		tk_err("could not give data directory \"%s\" to user \"%s\": %s",
		    settings->data_directories.items[i], settings->user, strerror(errno));
	}
	if (rc == 0 && tk_errlog_fd() > STDERR_FILENO)
		(void)fchown(tk_errlog_fd(), uid, gid);
	return rc;
}

static int
become(const struct tk_settings *settings, uid_t uid, gid_t gid)
{
	if (initgroups(settings->user, gid) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0) {
		int rc = -errno;

		tk_err("could not become user \"%s\": %s", settings->user, strerror(errno));
		return rc;
	}
	/* The kernel takes /proc/self away from one that changes its user; we open through it. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

int
tk_master_drop_privileges(struct tk_master *master)
{
	const struct tk_settings *settings = master->cycle->cycle.settings;
	uid_t uid;
	gid_t gid;
	int rc;

	if (geteuid() != 0)
		return 0;
	if (settings->user[0] == '\0') {
		tk_warn("started as root and \"user\" is not set: every process runs as root");
		return 0;
	}
	rc = look_up(settings, &uid, &gid);
	if (rc == 0)
		rc = hand_over(master, uid, gid);
	return rc < 0 ? rc : become(settings, uid, gid);
}
