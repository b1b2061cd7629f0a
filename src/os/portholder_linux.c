/*
 * Who listens on a port: the socket's inode in /proc/net/tcp and tcp6, then the process with a
 * descriptor of it.  Used by the master when a start has failed; a guess, as all may change
 * between.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/portholder.h"

#define STATE_LISTEN 0x0au

static uint64_t
listening_inode(const char *table, uint16_t port)
{
	FILE *file = fopen(table, "re");
	char line[512];
	uint64_t found = 0;

	while (file != NULL && found == 0 && fgets(line, sizeof(line), file) != NULL) {
		unsigned local_port, state;
		uint64_t inode;

		if (sscanf(line,
			" %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u "
			"%" SCNu64,
			&local_port, &state, &inode) == 3 &&
		    local_port == port && state == STATE_LISTEN)
			found = inode;
	}
	if (file != NULL)
		(void)fclose(file);
	return found;
}

static bool
process_has(const char *pid, uint64_t inode)
{
	char path[300], target[64], wanted[64];
	DIR *dir;
	struct dirent *entry;
	bool found = false;

	(void)snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return found;
}

static void
process_describe(const char *pid, char *text, size_t room)
{
	char path[300], name[32] = "?";
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file != NULL && fgets(name, sizeof(name), file) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (file != NULL)
		(void)fclose(file);
	(void)snprintf(text, room, "process %s (%s)", pid, name);
}

void
tk_port_holder(uint16_t port, char *text, size_t room)
{
	uint64_t inode = listening_inode("/proc/net/tcp", port);
	struct dirent *entry;
	DIR *proc;

	if (inode == 0)
		inode = listening_inode("/proc/net/tcp6", port);
	if (inode == 0)
		return;
	proc = opendir("/proc");
	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !process_has(entry->d_name, inode))
			continue;
		process_describe(entry->d_name, text, room);
		break;
	}
	if (proc != NULL)
		(void)closedir(proc);
}
